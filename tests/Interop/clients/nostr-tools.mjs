// nostr-tools publishes, queries and subscribes live.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure";
import { Relay } from "nostr-tools/relay";
import { fetchRelayInformation } from "nostr-tools/nip11";
import { argument, assertSameIds, now, query as stored, run, signal, within } from "./support.mjs";

const url = argument("RELAY_URL");

run(async () => {
  const document = await within("relay document", fetchRelayInformation(url));
  for (const nip of [1, 11, 42]) {
    assert.ok(document.supported_nips.includes(nip), `the relay document names NIP-${nip}`);
  }

  const alice = generateSecretKey();
  const bob = generateSecretKey();
  const group = randomBytes(32).toString("hex");
  const publisher = await within("connection", Relay.connect(url));
  const reader = await within("connection", Relay.connect(url));
  const sign = (key, kind, tags, content, createdAt = now()) => finalizeEvent({ kind, tags, content, created_at: createdAt }, key);

  // Publish: text with everything that NIP-01 escapes, a profile that is replaced, group messages.
  const note = sign(alice, 1, [["t", "marmot"], ["client", "ünï"]], "line\nbreak \"quoted\" \\ tab\t €🦫 </script>");
  const oldProfile = sign(alice, 0, [], JSON.stringify({ name: "old" }), now() - 10);
  const newProfile = sign(alice, 0, [], JSON.stringify({ name: "new" }), now() - 5);
  const messages = [3, 2, 1].map((age) => sign(generateSecretKey(), 445, [["h", group]], `message of ${age} seconds ago`, now() - age));
  for (const event of [note, oldProfile, newProfile, ...messages]) {
    await within("OK", publisher.publish(event));
  }

  // The same event again is fine; one whose id or signature is not its own is refused.
  await within("OK for a duplicate", publisher.publish(note));
  const genuine = sign(alice, 1, [], "never published");
  await assert.rejects(within("refusal of a forged content", publisher.publish({ ...genuine, content: "forged" })), /invalid:/);
  await assert.rejects(within("refusal of a foreign signature", publisher.publish({ ...genuine, sig: note.sig })), /invalid:/);

  // Query.
  const query = (...filters) => stored(reader, ...filters);
  assert.equal((await query({ ids: [note.id] }))[0].content, note.content, "the content comes back as it was");
  assertSameIds(await query({ kinds: [0], authors: [getPublicKey(alice)] }), [newProfile], "only the newer profile is left");
  assertSameIds(await query({ authors: [getPublicKey(alice)], "#t": ["marmot"] }), [note], "by author and #t");
  assert.deepEqual((await query({ kinds: [445], "#h": [group] })).map((e) => e.id), messages.map((e) => e.id).reverse(), "by #h, newest first");
  assert.deepEqual((await query({ kinds: [445], "#h": [group], limit: 2 })).map((e) => e.id), [messages[2].id, messages[1].id], "limit takes the newest");
  assertSameIds(await query({ "#h": [group], since: messages[1].created_at, until: messages[1].created_at }), [messages[1]], "since and until include");
  assertSameIds(await query({ ids: [note.id] }, { "#t": ["marmot"], authors: [getPublicKey(alice)] }), [note], "an event that two filters match comes once");
  assertSameIds(await query({ authors: [getPublicKey(bob)] }), [], "nothing of Bob yet");

  // Live: stored events, EOSE, then what is published afterwards; another group's message does not come.
  const seen = [];
  const eose = signal();
  const live = signal();
  reader.subscribe([{ kinds: [445], "#h": [group] }], {
    onevent: (event) => { seen.push(event.id); if (seen.length === messages.length + 1) live.resolve(event); },
    oneose: () => eose.resolve(seen.length),
  });
  assert.equal(await within("EOSE", eose.promise), messages.length, "the stored events come before EOSE");
  await within("OK", publisher.publish(sign(bob, 445, [["h", randomBytes(32).toString("hex")]], "another group")));
  const late = sign(bob, 445, [["h", group]], "live");
  await within("OK", publisher.publish(late));
  assert.equal((await within("live event", live.promise)).id, late.id);

  // Delete: gone for the next query.
  await within("OK", publisher.publish(sign(alice, 5, [["e", note.id], ["k", "1"]], "")));
  assertSameIds(await query({ ids: [note.id] }), [], "a deleted event is not served");
});
