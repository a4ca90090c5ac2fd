// rust-nostr's SDK (WebAssembly) publishes, queries and subscribes; its gift wraps come only after NIP-42 AUTH as the recipient.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as sdk from "@rust-nostr/nostr-sdk";
import { argument, run, signal, within } from "./support.mjs";

const { Client, Duration, EventBuilder, Filter, Keys, Kind, NostrSigner, Tag } = sdk;
const url = argument("RELAY_URL");
const patience = () => Duration.fromSecs(5);

async function connect(keys) {
  const client = keys ? new Client(NostrSigner.keys(keys)) : new Client();
  client.automaticAuthentication(Boolean(keys));
  await client.addRelay(url);
  await within("connection", client.connect());
  await client.waitForConnection(patience());
  assert.ok((await client.relay(url)).isConnected(), "connected");
  return client;
}

async function send(client, event) {
  const output = await within("OK", client.sendEvent(event));
  assert.equal(output.success.length, 1, "the relay took the event");
}

const idsOf = (events) => events.map((event) => event.id.toHex()).sort();

run(async () => {
  sdk.loadWasmSync?.();
  const alice = Keys.generate();
  const bob = Keys.generate();
  const group = randomBytes(32).toString("hex");
  const aliceClient = await connect(alice);
  const bobClient = await connect(bob);
  const stranger = await connect(Keys.generate());
  const nobody = await connect(null);

  // Publish and query, by author, kind and #h.
  const note = EventBuilder.textNote("hello from rust").signWithKeys(alice);
  const message = new EventBuilder(new Kind(445), "sealed").tags([Tag.parse(["h", group])]).signWithKeys(Keys.generate());
  await send(aliceClient, note);
  await send(aliceClient, message);
  const groupFilter = () => Filter.fromJson(JSON.stringify({ kinds: [445], "#h": [group] }));
  const fetch = (client, filter) => within("answer", client.fetchEvents(filter, patience()).then((events) => events.toVec()));
  assert.deepEqual(idsOf(await fetch(bobClient, new Filter().author(alice.publicKey).kind(new Kind(1)))), [note.id.toHex()]);
  assert.deepEqual(idsOf(await fetch(bobClient, groupFilter())), [message.id.toHex()]);

  // Gift wraps: Alice wraps for Bob. Bob's client answers the challenge by itself and reads; a stranger and an anonymous connection get nothing.
  const rumor = EventBuilder.textNote("for Bob's eyes").build(alice.publicKey);
  const wrap = await EventBuilder.giftWrap(NostrSigner.keys(alice), bob.publicKey, rumor);
  await send(aliceClient, wrap);
  const wrapsForBob = () => new Filter().kind(new Kind(1059)).pubkey(bob.publicKey);
  const received = await fetch(bobClient, wrapsForBob());
  assert.deepEqual(idsOf(received), [wrap.id.toHex()], "Bob reads his gift wrap");
  const opened = await bobClient.unwrapGiftWrap(received[0]);
  assert.equal(opened.rumor.content, "for Bob's eyes");
  assert.equal(opened.sender.toHex(), alice.publicKey.toHex());
  for (const [who, client] of [["a stranger", stranger], ["an unauthenticated connection", nobody]]) {
    const events = await fetch(client, wrapsForBob()).then(idsOf, () => []);
    assert.deepEqual(events, [], `${who} must not read Bob's gift wraps`);
    const byId = await fetch(client, new Filter().id(wrap.id)).then(idsOf, () => []);
    assert.deepEqual(byId, [], `${who} must not read it by id either`);
  }

  // Live, both open and behind AUTH.
  const liveNote = EventBuilder.textNote("live from rust").signWithKeys(alice);
  const liveWrap = await EventBuilder.giftWrap(NostrSigner.keys(alice), bob.publicKey, EventBuilder.textNote("live wrap").build(alice.publicKey));
  const gotNote = signal();
  const gotWrap = signal();
  const leaked = [];
  bobClient.handleNotifications({
    handleEvent: async (_relay, _subscription, event) => {
      const id = event.id.toHex();
      if (id === liveNote.id.toHex()) gotNote.resolve();
      if (id === liveWrap.id.toHex()) gotWrap.resolve();
      return false;
    },
    handleMsg: async () => false,
  });
  const strangerNote = signal();
  stranger.handleNotifications({
    handleEvent: async (_relay, _subscription, event) => {
      if (event.kind.asU16() === 1059) leaked.push(event.id.toHex());
      if (event.id.toHex() === liveNote.id.toHex()) strangerNote.resolve();
      return false;
    },
    handleMsg: async () => false,
  });
  const notes = () => new Filter().author(alice.publicKey).kind(new Kind(1));
  await bobClient.subscribe(wrapsForBob());
  await bobClient.subscribe(notes());
  await stranger.subscribe(new Filter().kinds([new Kind(1), new Kind(1059)]));
  await stranger.subscribe(notes());
  // A round trip on each connection: messages of a connection are answered in order, so the subscriptions are in place.
  await fetch(bobClient, groupFilter());
  await fetch(stranger, groupFilter());
  await send(aliceClient, liveWrap);
  await send(aliceClient, liveNote);
  await within("live gift wrap", gotWrap.promise);
  await within("live note", gotNote.promise);
  await within("live note for the stranger", strangerNote.promise);
  assert.deepEqual(leaked, [], "no gift wrap reaches a stranger live");
});
