// A client library reads its inbox, stored and live gift wraps, from a relay that asks for authentication (NIP-42) when the request needs it.
import assert from "node:assert/strict";
import NDK, { NDKPrivateKeySigner, NDKRelayAuthPolicies } from "@nostr-dev-kit/ndk";
import { Relay as ApplesauceRelay } from "applesauce-relay";
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure";
import { SimplePool } from "nostr-tools/pool";
import { Relay } from "nostr-tools/relay";
import { wrapEvent } from "nostr-tools/nip59";
import { filter } from "rxjs";
import { argument, run, signal, within } from "./support.mjs";

const url = argument("RELAY_URL");

// Each opens the inbox as an application does: the subscription first, the signature when the library wants it.
const openers = {
  "nostr-tools automaticallyAuth": (key, inbox, onEvent, onEose) =>
    new SimplePool({ automaticallyAuth: () => async (template) => finalizeEvent(template, key) })
      .subscribeMany([url], inbox, { onevent: onEvent, oneose: onEose }),

  "nostr-tools onauth": (key, inbox, onEvent, onEose) =>
    new SimplePool().subscribe([url], inbox, { onevent: onEvent, oneose: onEose, onauth: async (template) => finalizeEvent(template, key) }),

  "applesauce-relay": (key, inbox, onEvent, onEose) => {
    const relay = new ApplesauceRelay(url);
    relay.challenge$.pipe(filter(Boolean)).subscribe(() => relay.authenticate({ signEvent: (template) => finalizeEvent(template, key) }));
    relay.subscription(inbox).subscribe((item) => (item === "EOSE" ? onEose() : onEvent(item)));
  },

  "ndk signIn": (key, inbox, onEvent, onEose) => {
    const ndk = new NDK({ explicitRelayUrls: [url], signer: new NDKPrivateKeySigner(Buffer.from(key).toString("hex")) });
    ndk.relayAuthDefaultPolicy = NDKRelayAuthPolicies.signIn({ ndk });
    ndk.connect();
    ndk.subscribe(inbox, { closeOnEose: false }, { onEvent: (event) => onEvent(event.rawEvent()), onEose });
  },
};

run(async () => {
  const key = generateSecretKey();
  const publicKey = getPublicKey(key);
  const publisher = await within("connection", Relay.connect(url));
  const wrap = (text) => wrapEvent({ kind: 1, content: text, tags: [] }, generateSecretKey(), publicKey);
  const [stored, live] = [wrap("stored"), wrap("live")];
  await within("OK", publisher.publish(stored));

  const seen = { [stored.id]: signal(), [live.id]: signal() };
  const ready = signal();
  openers[argument("CLIENT")](key, { kinds: [1059], "#p": [publicKey] }, (event) => seen[event.id]?.resolve(event), ready.resolve);
  assert.equal((await within("stored gift wrap", seen[stored.id].promise)).content, stored.content);
  await within("EOSE", ready.promise);
  await within("OK", publisher.publish(live));
  assert.equal((await within("live gift wrap", seen[live.id].promise)).content, live.content);
});
