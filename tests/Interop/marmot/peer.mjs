// A Marmot member by the MIP documents, written on ts-mls and nostr-tools alone; driven over stdin and stdout, one JSON request and one JSON reply a line.
// Used by MarmotPeerTests.cs. It is as strict and as simple as the profile allows, with the faults of ts-mls 2.0.0-rc.10 left in.
import { randomBytes } from "node:crypto";
import readline from "node:readline";
import * as mls from "ts-mls";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { finalizeEvent, generateSecretKey, getEventHash, getPublicKey, verifyEvent } from "nostr-tools/pure";
import { Relay, useWebSocketImplementation } from "nostr-tools/relay";
import { unwrapEvent, wrapEvent } from "nostr-tools/nip59";
import { WebSocket } from "ws";

useWebSocketImplementation(WebSocket);
const cipherSuite = await mls.getCiphersuiteImpl("MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519");
const context = { cipherSuite, authService: mls.unsafeTestingAuthenticationService };
const GroupData = 0xf2ee;
const LastResort = 0x000a;
const { add, remove, group_context_extensions: contextExtensions } = mls.defaultProposalTypes;

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const fromBase64 = (text) => new Uint8Array(Buffer.from(text, "base64"));
const utf8 = (text) => new TextEncoder().encode(text);
const now = () => Math.floor(Date.now() / 1000);
const fail = (reason) => {
  throw new Error(reason);
};

const key = generateSecretKey();
const me = getPublicKey(key);
let relay;
let own; // the key package with its private keys
let ownEvent;
let state;
let routing;
const seen = new Set();
const keys = []; // envelope keys, the newest last
const messages = [];

// The group data extension, version 2 (MIP-01).
const vector = (bytes) => Buffer.concat([bytes.length < 64 ? Buffer.from([bytes.length]) : Buffer.from([0x40 | (bytes.length >> 8), bytes.length & 0xff]), bytes]);
const groupData = ({ id, name, description, admins, relays }) =>
  new Uint8Array(Buffer.concat([
    Buffer.from([0, 2]),
    Buffer.from(id, "hex"),
    vector(Buffer.from(name)),
    vector(Buffer.from(description)),
    vector(Buffer.concat([...admins].sort().map((admin) => Buffer.from(admin, "hex")))),
    vector(Buffer.concat(relays.map((url) => vector(Buffer.from(url))))),
    Buffer.from([0, 0, 0, 0]),
  ]));
const routingOf = (extensions) => hex(extensions.find((one) => one.extensionType === GroupData).extensionData.slice(2, 34));

const envelopeKey = () => mls.mlsExporter(state.keySchedule.exporterSecret, "marmot", utf8("group-event"), 32, cipherSuite);
const encode = (message) => mls.encode(mls.mlsMessageEncoder, message);
const decode = (bytes) => mls.decode(mls.mlsMessageDecoder, bytes) ?? fail("the MLS message cannot be decoded");

async function adopt(next) {
  state = next;
  routing = routingOf(state.groupContext.extensions);
  keys.push(await envelopeKey());
  if (keys.length > 6) keys.shift();
}

/** Seals an MLS message under the current epoch's key and publishes it; the relay's OK is the condition for going on. */
async function publish(message) {
  const nonce = randomBytes(12);
  const sealed = chacha20poly1305(await envelopeKey(), nonce).encrypt(encode(message));
  const event = finalizeEvent({ kind: 445, created_at: now(), tags: [["h", routing]], content: base64(Buffer.concat([nonce, sealed])) }, generateSecretKey());
  seen.add(event.id);
  await relay.publish(event);
  return event.id;
}

const query = (filter) => new Promise((resolve, reject) => {
  const events = [];
  const subscription = relay.subscribe([filter], {
    onevent: (event) => events.push(event),
    oneose: () => { resolve(events); subscription.close(); },
    onclose: (reason) => reject(new Error(reason)),
  });
});

async function commit(extraProposals) {
  const made = await mls.createCommit({ context, state, ratchetTreeExtension: true, extraProposals });
  const eventId = await publish(made.commit);
  await adopt(made.newState);
  return { eventId, welcome: made.welcome };
}

const operations = {
  async init({ url }) {
    relay = await Relay.connect(url);
    for (const kind of [10050, 10051]) await relay.publish(finalizeEvent({ kind, created_at: now(), tags: [["relay", url]], content: "" }, key));
    relay.publicUrl = url;
    return { pubkey: me };
  },
  async publishKeyPackage() {
    const capabilities = mls.defaultCapabilities();
    capabilities.extensions.push(GroupData, LastResort);
    own = await mls.generateKeyPackage({
      credential: { credentialType: mls.defaultCredentialTypes.basic, identity: new Uint8Array(Buffer.from(me, "hex")) },
      capabilities,
      lifetime: { notBefore: BigInt(now() - 3600), notAfter: BigInt(now() + 30 * 86400) },
      extensions: [mls.makeCustomExtension({ extensionType: LastResort, extensionData: new Uint8Array() })],
      cipherSuite,
    });
    const ref = hex(await mls.makeKeyPackageRef(own.publicPackage, cipherSuite.hash));
    ownEvent = finalizeEvent({
      kind: 30443,
      created_at: now(),
      tags: [["d", hex(randomBytes(32))], ["mls_protocol_version", "1.0"], ["mls_ciphersuite", "0x0001"], ["mls_extensions", "0x000a", "0xf2ee"], ["encoding", "base64"], ["i", ref], ["relays", relay.publicUrl]],
      content: base64(mls.encode(mls.keyPackageEncoder, own.publicPackage)),
    }, key);
    await relay.publish(ownEvent);
    return { ref };
  },
  async createGroup({ name, admins }) {
    if (own === undefined) await operations.publishKeyPackage();
    const data = groupData({ id: hex(randomBytes(32)), name, description: "made by ts-mls", admins: [me, ...(admins ?? [])], relays: [relay.publicUrl] });
    const extensions = [mls.makeCustomExtension({ extensionType: GroupData, extensionData: data })];
    await adopt(await mls.createGroup({ context, groupId: new Uint8Array(randomBytes(32)), keyPackage: own.publicPackage, privateKeyPackage: own.privatePackage, extensions }));
    return { group: hex(state.groupContext.groupId) };
  },
  async invite({ pubkeys }) {
    const found = [];
    for (const pubkey of pubkeys) {
      const [event] = await query({ kinds: [30443], authors: [pubkey] });
      if (event === undefined || !verifyEvent(event)) fail(`${pubkey} has no key package`);
      const keyPackage = mls.decode(mls.keyPackageDecoder, fromBase64(event.content)) ?? fail("the key package cannot be decoded");
      if (hex(await mls.makeKeyPackageRef(keyPackage, cipherSuite.hash)) !== event.tags.find((tag) => tag[0] === "i")[1]) fail("the i tag is wrong");
      found.push({ event, keyPackage });
    }
    const { welcome } = await commit(found.map(({ keyPackage }) => ({ proposalType: add, add: { keyPackage } })));
    for (const { event } of found) {
      const rumor = { kind: 444, created_at: now(), tags: [["relays", relay.publicUrl], ["encoding", "base64"], ["e", event.id]], content: base64(encode(welcome)) };
      await relay.publish(wrapEvent(rumor, key, event.pubkey));
    }
    return {};
  },
  async acceptInvite() {
    // The relay shows wraps to their reader only, and its challenge may not be here yet (NIP-42).
    let wraps = [];
    for (let attempt = 0; attempt < 100 && wraps.length === 0; attempt++) {
      await relay.auth(async (template) => finalizeEvent(template, key)).catch(() => undefined);
      wraps = await query({ kinds: [1059], "#p": [me] }).catch(() => []);
      if (wraps.length === 0) await new Promise((done) => setTimeout(done, 100));
    }
    for (const wrap of wraps) {
      const rumor = unwrapEvent(wrap, key);
      if (rumor.kind !== 444 || rumor.tags.find((tag) => tag[0] === "e")?.[1] !== ownEvent.id) continue;
      const { welcome } = decode(fromBase64(rumor.content));
      await adopt(await mls.joinGroup({ context, welcome, keyPackage: own.publicPackage, privateKeys: own.privatePackage }));
      return { group: hex(state.groupContext.groupId) };
    }
    fail("no invitation");
  },
  /** Everything new in the order of MIP-03; what is refused is named, not thrown, and tried again: of one second's events a commit may come before its proposal. */
  async sync() {
    let refused = [];
    const events = (await query({ kinds: [445], "#h": [routing] })).filter((event) => !seen.has(event.id)).sort((a, b) => a.created_at - b.created_at || (a.id < b.id ? -1 : 1));
    for (let progress = true; progress;) {
      progress = false;
      refused = [];
      for (const event of events.filter((one) => !seen.has(one.id))) {
        const sealed = fromBase64(event.content);
        let plaintext;
        for (const one of keys) {
          try {
            plaintext = chacha20poly1305(one, sealed.slice(0, 12)).decrypt(sealed.slice(12));
            break;
          } catch {
            // another epoch's key
          }
        }
        if (plaintext === undefined) continue;
        try {
          const result = await mls.processMessage({ context, state, message: decode(plaintext) });
          if (result.kind === "applicationMessage") {
            state = result.newState;
            const rumor = JSON.parse(new TextDecoder().decode(result.message));
            if (rumor.sig !== undefined || getEventHash(rumor) !== rumor.id) fail("the inner event is not as it must be");
            messages.push(rumor);
          } else if (result.newState.groupContext.epoch !== state.groupContext.epoch) {
            if (result.newState.groupActiveState.kind === "removedFromGroup") state = result.newState;
            else await adopt(result.newState);
          } else {
            state = result.newState;
          }
          seen.add(event.id);
          progress = true;
        } catch (error) {
          refused.push(String(error));
        }
      }
    }
    return { refused };
  },
  async send({ content, kind, tags }) {
    const rumor = { pubkey: me, created_at: now(), kind: kind ?? 9, tags: tags ?? [], content };
    rumor.id = getEventHash(rumor);
    const made = await mls.createApplicationMessage({ context, state, message: utf8(JSON.stringify(rumor)) });
    state = made.newState;
    messages.push(rumor);
    return { id: rumor.id, eventId: await publish(made.message) };
  },
  /** A message that claims to be by somebody else, or carries a signature, or a wrong id. */
  async sendForged({ rumor, signs }) {
    const forged = { pubkey: me, created_at: now(), kind: 9, tags: [], content: "forged", ...rumor };
    forged.id = rumor.id ?? getEventHash(forged);
    const made = await mls.createApplicationMessage({ context, state, message: utf8(JSON.stringify(signs ? finalizeEvent({ ...forged }, key) : forged)) });
    state = made.newState;
    await publish(made.message);
    return {};
  },
  selfUpdate: async () => ({ eventId: (await commit([])).eventId }),
  async rename({ name, adopts }) {
    const data = groupData({ id: routing, name, description: "renamed", admins: [me], relays: [relay.publicUrl] });
    const extensions = [mls.makeCustomExtension({ extensionType: GroupData, extensionData: data })];
    const made = await mls.createCommit({ context, state, ratchetTreeExtension: true, extraProposals: [{ proposalType: contextExtensions, groupContextExtensions: { extensions } }] });
    const eventId = await publish(made.commit);
    if (adopts) await adopt(made.newState);
    return { eventId };
  },
  /** One Remove: this version of ts-mls sends it without an UpdatePath, which RFC 9420 forbids. The own state stays, so that the group can go on. */
  async removeWithoutPath({ leaf }) {
    const made = await mls.createCommit({ context, state, ratchetTreeExtension: true, extraProposals: [{ proposalType: remove, remove: { removed: leaf } }] });
    return { eventId: await publish(made.commit) };
  },
  async leave() {
    const made = await mls.createProposal({ context, state, proposal: { proposalType: remove, remove: { removed: state.privatePath.leafIndex } } });
    state = made.newState;
    return { eventId: await publish(made.message) };
  },
  async state() {
    const check = await mls.mlsExporter(state.keySchedule.exporterSecret, "interop-check", utf8("epoch"), 16, cipherSuite);
    return {
      active: state.groupActiveState.kind === "active",
      epoch: Number(state.groupContext.epoch),
      check: hex(check),
      treeHash: hex(state.groupContext.treeHash),
      confirmedTranscriptHash: hex(state.groupContext.confirmedTranscriptHash),
      epochAuthenticator: hex(state.keySchedule.epochAuthenticator),
      leaf: state.privatePath.leafIndex,
      messages: messages.map((rumor) => ({ id: rumor.id, pubkey: rumor.pubkey, kind: rumor.kind, content: rumor.content })),
    };
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let reply;
  try {
    reply = await operations[request.op](request);
  } catch (error) {
    reply = { error: String(error?.stack ?? error) };
  }
  console.log(JSON.stringify(reply));
}
process.exit(0);
