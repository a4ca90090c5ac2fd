// nostr-tools and applesauce-relay, each with an implementation of its own, reconcile with the relay (NIP-77).
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Relay as ApplesauceRelay, SyncDirection } from "applesauce-relay";
import { nip77 } from "nostr-tools";
import { finalizeEvent, generateSecretKey } from "nostr-tools/pure";
import { Relay } from "nostr-tools/relay";
import { lastValueFrom, toArray } from "rxjs";
import { argument, assertSameIds, now, query, run, within } from "./support.mjs";

const PatienceMs = 60_000;
const url = argument("RELAY_URL");
const key = generateSecretKey();
const started = now();

/** Three lots of events of one group: on both sides, on the relay, here. */
function make(count) {
  const group = randomBytes(32).toString("hex");
  const lot = (name) => Array.from({ length: count }, (_, i) => finalizeEvent(
    { kind: 445, tags: [["h", group]], content: `${name} ${i}`, created_at: started - (i % 400) }, key));
  return { filter: { kinds: [445], "#h": [group] }, shared: lot("both"), theirs: lot("relay"), ours: lot("client") };
}

const publish = (relay, events) => within("every OK", Promise.all(events.map((event) => relay.publish(event))), PatienceMs);

/** What only we have, and what only the relay has, as nostr-tools finds it. */
function compare(relay, filter, events) {
  const storage = new nip77.NegentropyStorageVector();
  for (const event of events) storage.insert(event.created_at, event.id);
  storage.seal();
  const difference = { have: [], need: [] };
  return within("reconciliation", new Promise((resolve, reject) => {
    const sync = new nip77.NegentropySync(relay, storage, filter, {
      onhave: (id) => difference.have.push(id),
      onneed: (id) => difference.need.push(id),
      onclose: (reason) => (reason ? reject(new Error(reason)) : resolve(difference)),
    });
    sync.start();
  }), PatienceMs);
}

await run(async () => {
  const relay = await Relay.connect(url);
  relay.publishTimeout = PatienceMs;

  // nostr-tools: thousands, in as many rounds as it takes; then each side gets what it lacks.
  const many = make(1200);
  await publish(relay, [...many.shared, ...many.theirs]);
  const { have, need } = await compare(relay, many.filter, [...many.shared, ...many.ours]);
  assertSameIds(have, many.ours, "only here");
  assertSameIds(need, many.theirs, "only there");
  const came = [];
  for (let i = 0; i < need.length; i += 500) came.push(...await query(relay, { ids: need.slice(i, i + 500) }));
  assertSameIds(came, many.theirs, "what came");
  await publish(relay, many.ours.filter((event) => have.includes(event.id)));
  assert.deepEqual(await compare(relay, many.filter, [...many.shared, ...many.ours, ...came]), { have: [], need: [] });

  // applesauce-relay does all of that by itself, but 6.2.1 never sends a second message: as many as one round finds.
  const few = make(100);
  await publish(relay, [...few.shared, ...few.theirs]);
  const applesauce = new ApplesauceRelay(url);
  const fetched = await within("both ways", lastValueFrom(applesauce.sync([...few.shared, ...few.ours], few.filter, SyncDirection.BOTH).pipe(toArray())));
  assertSameIds(fetched, few.theirs, "what applesauce fetched");
  applesauce.close();
  assert.deepEqual(await compare(relay, few.filter, [...few.shared, ...few.ours, ...few.theirs]), { have: [], need: [] });
  relay.close();
});
