// Events that Marmot clients really made (Vectors/), stored and found again by #h, #p, author and kind with nostr-tools.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { hexToBytes } from "@noble/hashes/utils.js";
import { decode } from "nostr-tools/nip19";
import { finalizeEvent, getPublicKey, verifyEvent } from "nostr-tools/pure";
import { Relay } from "nostr-tools/relay";
import { argument, assertSameIds, now, query, run, within } from "./support.mjs";

const url = argument("RELAY_URL");
const read = (name) => JSON.parse(readFileSync(join(argument("VECTORS"), name), "utf8"));

function connect() {
  return within("connection", Relay.connect(url));
}

const hasExpired = (event) => event.tags.some(([name, value]) => name === "expiration" && Number(value) <= now());

run(async () => {
  const mdk = read("mls-group-p2-mdk-shape.json");
  const marmotTs = read("mls-group-p2-marmot-ts.json");
  const adopted = read("mls-group-adopted-constructed.json");
  const lifecycle = read("relay-lifecycle.json");
  const relay = await connect();

  // KeyPackages: the same accounts publish in more than one file, and a newer 30443 with the same d replaces; keep to one file.
  const accounts = Object.values(mdk.key_packages);
  const addressable = accounts.map((account) => account.event_30443);
  const legacy = accounts.map((account) => account.event_443);
  const relayLists = lifecycle.cases.find((one) => one.name === "replaceable");
  const keyPackageRelays = [...relayLists.store, ...relayLists.then];
  // No peer's vector holds a kind 10050, so the inbox relay list is signed here with the vector's own key.
  const bob = accounts.find((account) => account.nostr_pubkey === mdk.welcomes[0].giftwrap.wrap.tags[0][1]);
  const bobsSecret = hexToBytes(bob.nostr_secret_key);
  const inboxRelays = finalizeEvent({ kind: 10050, tags: [["relay", "wss://inbox.example.com"]], content: "", created_at: now() }, bobsSecret);
  const groups = [mdk, marmotTs, adopted].map((file) => file.messages.map((message) => message.event_445).filter((event) => !hasExpired(event)));
  const wraps = [...mdk.welcomes, ...marmotTs.welcomes, ...adopted.welcomes].map((welcome) => (welcome.giftwrap ?? welcome).wrap).filter(Boolean);
  const all = [...addressable, ...legacy, ...keyPackageRelays, inboxRelays, ...groups.flat(), ...wraps];
  assert.ok(all.length > 50, "the vectors hold a good number of events");
  for (const event of all) {
    assert.ok(verifyEvent({ ...event }), `the vector is valid by nostr-tools too: ${event.id}`);
    await within(`OK for kind ${event.kind}`, relay.publish(event));
  }

  // By kind, by author and kind.
  assertSameIds(await query(relay, { kinds: [30443], authors: accounts.map((one) => one.nostr_pubkey) }), addressable, "30443 by authors");
  for (const account of accounts) {
    assertSameIds(await query(relay, { kinds: [30443], authors: [account.nostr_pubkey] }), [account.event_30443], "30443 by author");
    assertSameIds(await query(relay, { kinds: [443], authors: [account.nostr_pubkey] }), [account.event_443], "443 by author");
    const d = account.event_30443.tags.find(([name]) => name === "d")[1];
    assertSameIds(await query(relay, { kinds: [30443], "#d": [d] }), [account.event_30443], "30443 by #d");
    const reference = account.event_30443.tags.find(([name]) => name === "i")[1];
    assertSameIds(await query(relay, { kinds: [443, 30443], "#i": [reference] }), [account.event_443, account.event_30443].filter((event) => event.tags.some(([name, value]) => name === "i" && value === reference)), "by #i");
  }
  assertSameIds(await query(relay, { kinds: [443] }), legacy, "443 by kind alone");
  assertSameIds(await query(relay, { kinds: [10051], authors: [keyPackageRelays[0].pubkey] }), [keyPackageRelays.at(-1)], "the newer 10051 replaced the older");
  assertSameIds(await query(relay, { kinds: [10050], authors: [bob.nostr_pubkey] }), [inboxRelays], "10050 by author");

  // By #h: the group's messages, all of them and no others, newest first; ties by lowest id (NIP-01).
  for (const group of groups) {
    const h = group[0].tags.find(([name]) => name === "h")[1];
    const inOrder = group.filter((event) => event.tags.some(([name, value]) => name === "h" && value === h))
      .sort((left, right) => right.created_at - left.created_at || (left.id < right.id ? -1 : 1));
    assert.deepEqual((await query(relay, { kinds: [445], "#h": [h] })).map((event) => event.id), inOrder.map((event) => event.id), "445 by #h");
    assertSameIds(await query(relay, { kinds: [445], "#h": [h], limit: 3 }), inOrder.slice(0, 3), "445 by #h with a limit");
    assertSameIds(await query(relay, { authors: [inOrder[0].pubkey] }), [inOrder[0]], "445 by its throw-away author");
  }

  // By #p: gift wraps, for their recipient after AUTH.
  for (const account of accounts) {
    const own = wraps.filter((wrap) => wrap.tags.some(([name, value]) => name === "p" && value === account.nostr_pubkey));
    const secret = hexToBytes(account.nostr_secret_key);
    assert.equal(getPublicKey(secret), account.nostr_pubkey);
    const inbox = await connect();
    await assert.rejects(query(inbox, { kinds: [1059], "#p": [account.nostr_pubkey] }), /auth-required:/);
    await within("OK for AUTH", inbox.auth(async (template) => finalizeEvent(template, secret)));
    assertSameIds(await query(inbox, { kinds: [1059], "#p": [account.nostr_pubkey] }), own, "1059 by #p");
    inbox.close();
  }
  assert.ok(wraps.some((wrap) => wrap.tags[0][1] === bob.nostr_pubkey), "at least one wrap was for Bob");

  // The notification server of the suite announces its inbox by itself (kind 10050).
  const server = decode(argument("SERVER_NPUB")).data;
  const announced = await query(relay, { kinds: [10050], authors: [server] });
  assert.equal(announced.length, 1, "the notification server announces its inbox");
  assert.ok(announced[0].tags.every(([name]) => name === "relay") && announced[0].tags.length > 0);
});
