// Measures ts-mls for benchmarks/Mls. Each line on stdin is a number of members and asks for one round; the answer is one JSON object: elapsed and processor time in milliseconds, or bytes, by row.
import { createInterface } from "node:readline";
import * as mls from "ts-mls";

const cipherSuite = await mls.getCiphersuiteImpl("MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519");
const context = { cipherSuite, authService: mls.unsafeTestingAuthenticationService };
const generate = (name) =>
  mls.generateKeyPackage({ credential: { credentialType: mls.defaultCredentialTypes.basic, identity: new TextEncoder().encode(name) }, cipherSuite });
const add = (keyPackage) => ({ proposalType: mls.defaultProposalTypes.add, add: { keyPackage } });
const size = (message) => mls.encode(mls.mlsMessageEncoder, message).length;

let figures = {};
const bytes = (row, count) => (figures[row] = { elapsed: count, processor: count });
async function timed(row, action, times = 1) {
  const start = performance.now();
  const used = process.cpuUsage();
  let result;
  for (let i = 0; i < times; i++) result = await action();
  const elapsed = (performance.now() - start) / times;
  const { user, system } = process.cpuUsage(used);
  const processor = (user + system) / 1000 / times;
  figures[row] = { elapsed, processor };
  return result;
}

for await (const line of createInterface({ input: process.stdin })) {
  const members = Number(line);
  figures = {};
  const own = await timed("generate", () => generate("alice"), 5);
  let alice = await timed("create", () =>
    mls.createGroup({ context, groupId: new TextEncoder().encode("group"), keyPackage: own.publicPackage, privateKeyPackage: own.privatePackage }), 5);

  const packages = [];
  for (let i = 1; i < members; i++) packages.push(await generate(`member ${i}`));
  const added = await timed("add", () => mls.createCommit({ context, state: alice, ratchetTreeExtension: true, extraProposals: packages.map((p) => add(p.publicPackage)) }));
  alice = added.newState;
  bytes("welcomeBytes", size(added.welcome));

  let bob = await timed("join", () =>
    mls.joinGroup({ context, welcome: added.welcome.welcome, keyPackage: packages[0].publicPackage, privateKeys: packages[0].privatePackage }));

  const one = await generate("one more");
  const addOne = await timed("addOne", () => mls.createCommit({ context, state: alice, ratchetTreeExtension: true, extraProposals: [add(one.publicPackage)] }));
  await timed("processAddOne", () => mls.processMessage({ context, state: bob, message: addOne.commit }));

  const update = await timed("update", () => mls.createCommit({ context, state: alice }));
  const processed = await timed("processUpdate", () => mls.processMessage({ context, state: bob, message: update.commit }));
  [alice, bob] = [update.newState, processed.newState];
  bytes("stateBytes", mls.encode(mls.clientStateEncoder, alice).length);

  const data = new Uint8Array(200);
  const messages = [];
  await timed("encrypt", async () => {
    const sent = await mls.createApplicationMessage({ context, state: alice, message: data });
    alice = sent.newState;
    messages.push(sent.message);
  }, 50);
  await timed("decrypt", async () => {
    bob = (await mls.processMessage({ context, state: bob, message: messages.shift() })).newState;
  }, 50);
  console.log(JSON.stringify(figures));
}
