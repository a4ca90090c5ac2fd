// Members of groups, kept by ts-mls and driven over stdin and stdout: one JSON request a line, one JSON reply a line, bytes in hex.
// A refusal comes back as {"error": ...}. Used by Interop/TsMlsPeer.cs.
import * as mls from "ts-mls";
import readline from "node:readline";

const cipherSuite = await mls.getCiphersuiteImpl("MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519");
const context = { cipherSuite, authService: mls.unsafeTestingAuthenticationService };
const GroupData = 0xf2ee;
const { add, remove, group_context_extensions: contextExtensions } = mls.defaultProposalTypes;

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));
const write = (message) => hex(mls.encode(mls.mlsMessageEncoder, message));
const read = (text) => {
  const message = mls.decode(mls.mlsMessageDecoder, bytes(text));
  if (message === undefined) throw new Error("cannot be decoded");
  return message;
};

const packages = new Map();
const states = new Map();
const stateOf = (member) => states.get(member) ?? fail(`${member} is in no group`);
const fail = (reason) => {
  throw new Error(reason);
};

const proposals = (request) => [
  ...(request.add ?? []).map((keyPackage) => ({ proposalType: add, add: { keyPackage: read(keyPackage).keyPackage } })),
  ...(request.remove ?? []).map((removed) => ({ proposalType: remove, remove: { removed } })),
  ...(request.extensions === undefined
    ? []
    : [{ proposalType: contextExtensions, groupContextExtensions: { extensions: [mls.makeCustomExtension({ extensionType: GroupData, extensionData: bytes(request.extensions) })] } }]),
];

const operations = {
  async generate({ member }) {
    const capabilities = mls.defaultCapabilities();
    capabilities.extensions.push(GroupData);
    const credential = { credentialType: mls.defaultCredentialTypes.basic, identity: new TextEncoder().encode(member) };
    const generated = await mls.generateKeyPackage({ credential, capabilities, cipherSuite });
    packages.set(member, generated);
    return { keyPackage: write({ keyPackage: generated.publicPackage, wireformat: mls.wireformats.mls_key_package, version: mls.protocolVersions.mls10 }) };
  },
  async create({ member, groupId, extensions }) {
    const own = packages.get(member);
    const list = [mls.makeCustomExtension({ extensionType: GroupData, extensionData: bytes(extensions) })];
    states.set(member, await mls.createGroup({ context, groupId: bytes(groupId), keyPackage: own.publicPackage, privateKeyPackage: own.privatePackage, extensions: list }));
    return {};
  },
  async join({ member, welcome }) {
    const own = packages.get(member);
    states.set(member, await mls.joinGroup({ context, welcome: read(welcome).welcome, keyPackage: own.publicPackage, privateKeys: own.privatePackage }));
    return { leaf: states.get(member).privatePath.leafIndex };
  },
  async commit(request) {
    const made = await mls.createCommit({ context, state: stateOf(request.member), ratchetTreeExtension: true, extraProposals: proposals(request) });
    states.set(request.member, made.newState);
    return { commit: write(made.commit), welcome: made.welcome === undefined ? "" : write(made.welcome) };
  },
  async propose(request) {
    const made = await mls.createProposal({ context, state: stateOf(request.member), proposal: proposals(request)[0] });
    states.set(request.member, made.newState);
    return { message: write(made.message) };
  },
  async send({ member, data }) {
    const made = await mls.createApplicationMessage({ context, state: stateOf(member), message: bytes(data) });
    states.set(member, made.newState);
    return { message: write(made.message) };
  },
  /** Gives a message to several members; replies with what each of them got out of it. */
  async process({ members, message }) {
    const results = [];
    for (const member of members) {
      const result = await mls.processMessage({ context, state: stateOf(member), message: read(message) });
      states.set(member, result.newState);
      results.push(result.kind === "applicationMessage" ? hex(result.message) : result.newState.groupActiveState.kind);
    }
    return { results };
  },
  /** What all members must agree on. */
  async agree({ members, label, context: exportContext, length }) {
    const list = [];
    for (const member of members) {
      const { groupContext, keySchedule } = stateOf(member);
      const exported = await mls.mlsExporter(keySchedule.exporterSecret, label, bytes(exportContext), length, cipherSuite);
      list.push({ epoch: Number(groupContext.epoch), treeHash: hex(groupContext.treeHash), authenticator: hex(keySchedule.epochAuthenticator), exported: hex(exported) });
    }
    return { members: list };
  },
  async leave({ member }) {
    states.delete(member);
    packages.delete(member);
    return {};
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let reply;
  try {
    reply = await operations[request.op](request);
  } catch (error) {
    reply = { error: String(error) };
  }
  console.log(JSON.stringify(reply));
}
