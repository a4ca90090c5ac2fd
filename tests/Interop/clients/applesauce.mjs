// applesauce-relay publishes, requests and subscribes; its gift wraps come only after NIP-42 AUTH as the recipient.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Relay } from "applesauce-relay";
import { wrapEvent, unwrapEvent } from "nostr-tools/nip59";
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure";
import { firstValueFrom, filter, lastValueFrom, timeout, toArray } from "rxjs";
import { argument, assertSameIds, now, run, signal, within } from "./support.mjs";

const url = argument("RELAY_URL");
const signer = (key) => ({ signEvent: (template) => finalizeEvent(template, key) });
const request = (relay, filters) => within("EOSE", lastValueFrom(relay.request(filters).pipe(toArray())));

async function publish(relay, event) {
  const answer = await within("OK", relay.publish(event));
  assert.ok(answer.ok, `the relay took the event: ${answer.message}`);
}

/** What a REQ is answered with: its events, and the reason when it was closed. */
async function answerTo(relay, filters) {
  const events = [];
  return within("EOSE or CLOSED", new Promise((resolve, reject) => {
    relay.req(filters, { waitForAuth: false }).subscribe({
      next: (message) => {
        if (message.type === "EVENT") events.push(message.event);
        if (message.type === "EOSE") resolve({ events, closed: null });
        if (message.type === "CLOSED") resolve({ events, closed: message.reason });
      },
      error: (error) => (error.reason ? resolve({ events, closed: error.reason }) : reject(error)),
    });
  }));
}

run(async () => {
  const alice = generateSecretKey();
  const bob = generateSecretKey();
  const bobKey = getPublicKey(bob);
  const group = randomBytes(32).toString("hex");
  const relay = new Relay(url);
  const bobsRelay = new Relay(url);

  // Publish and request.
  const message = finalizeEvent({ kind: 445, tags: [["h", group]], content: "sealed", created_at: now() }, alice);
  await publish(relay, message);
  assertSameIds(await request(relay, { kinds: [445], "#h": [group] }), [message], "by #h");
  assertSameIds(await request(relay, { authors: [getPublicKey(alice)], kinds: [445] }), [message], "by author and kind");

  // An unauthenticated connection must not get gift wraps, and is told that it has to authenticate.
  const wrap = wrapEvent({ kind: 1, content: "for Bob's eyes", tags: [] }, alice, bobKey);
  await publish(relay, wrap);
  const refused = await answerTo(relay, { kinds: [1059], "#p": [bobKey] });
  assertSameIds(refused.events, [], "nothing without AUTH");
  assert.match(refused.closed ?? "", /^auth-required:/, "the reason tells the client to authenticate");

  // AUTH as somebody else is not enough.
  await within("challenge", firstValueFrom(relay.challenge$.pipe(filter(Boolean), timeout(10_000))));
  const strangersAuth = await within("OK for AUTH", relay.authenticate(signer(alice)));
  assert.ok(strangersAuth.ok, `AUTH: ${strangersAuth.message}`);
  assertSameIds((await answerTo(relay, { kinds: [1059], "#p": [bobKey] })).events, [], "nothing for a stranger");

  // AUTH as the recipient.
  const pending = answerTo(bobsRelay, { kinds: [1059], "#p": [bobKey] });
  await within("challenge", firstValueFrom(bobsRelay.challenge$.pipe(filter(Boolean), timeout(10_000))));
  await pending;
  const auth = await within("OK for AUTH", bobsRelay.authenticate(signer(bob)));
  assert.ok(auth.ok, `AUTH: ${auth.message}`);
  const mine = await request(bobsRelay, { kinds: [1059], "#p": [bobKey] });
  assertSameIds(mine, [wrap], "Bob reads his gift wrap");
  assert.equal(unwrapEvent(mine[0], bob).content, "for Bob's eyes");

  // Live, behind AUTH.
  const eose = signal();
  const live = signal();
  const next = wrapEvent({ kind: 1, content: "live", tags: [] }, alice, bobKey);
  bobsRelay.subscription({ kinds: [1059], "#p": [bobKey] }).subscribe({
    next: (item) => {
      if (item === "EOSE") eose.resolve();
      else if (item.id === next.id) live.resolve(item);
    },
    error: (error) => console.error(error),
  });
  await within("EOSE", eose.promise);
  await publish(relay, next);
  assert.equal(unwrapEvent(await within("live gift wrap", live.promise), bob).content, "live");
});
