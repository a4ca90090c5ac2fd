// blossom-client-sdk uploads, lists, mirrors, fetches and deletes.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { createDeleteAuth, createDownloadAuth, createListAuth, createMirrorAuth, createUploadAuth } from "blossom-client-sdk/auth";
import { deleteBlob, downloadBlob, hasBlob, listBlobs, mirrorBlob, uploadBlob } from "blossom-client-sdk/actions/index";
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure";
import { argument, run, within } from "./support.mjs";

const server = argument("BLOSSOM_URL");
const key = generateSecretKey();
const sign = async (template) => finalizeEvent(template, key);
const stranger = generateSecretKey();
const strangersSign = async (template) => finalizeEvent(template, stranger);
const host = new URL(server).hostname;

run(async () => {
  const bytes = randomBytes(300_000);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const upload = (blob) => within("upload", uploadBlob(server, blob, {
    auth: true, onAuth: (_server, hash, type) => createUploadAuth(sign, hash, { type, servers: host }),
  }));

  // Upload, also twice, also without a token (which must fail).
  const descriptor = await upload(new Blob([bytes], { type: "application/octet-stream" }));
  assert.equal(descriptor.sha256, sha256);
  assert.equal(descriptor.size, bytes.length);
  assert.ok(descriptor.url.includes(sha256), "the URL names the hash");
  const second = await upload(new Blob([Buffer.from("a second blob")], { type: "text/plain" }));
  assert.equal((await upload(new Blob([bytes], { type: "application/octet-stream" }))).sha256, sha256, "the same bytes again");
  await assert.rejects(uploadBlob(server, new Blob(["no token"]), { auth: false }), "an upload needs a token");
  await assert.rejects(
    uploadBlob(server, new Blob(["another hash"]), { auth: await createUploadAuth(sign, sha256) }), "the token must be for these bytes");

  // Fetch: whole, by the URL of the descriptor, a range, HEAD.
  const fetched = Buffer.from(await (await within("download", downloadBlob(server, sha256, { onAuth: () => createDownloadAuth(sign, sha256) }))).arrayBuffer());
  assert.ok(fetched.equals(bytes), "the bytes come back as they were");
  assert.ok(Buffer.from(await (await fetch(descriptor.url)).arrayBuffer()).equals(bytes), "the descriptor's URL works");
  const range = await fetch(new URL(`/${sha256}`, server), { headers: { Range: "bytes=1000-1999" } });
  assert.equal(range.status, 206);
  assert.ok(Buffer.from(await range.arrayBuffer()).equals(bytes.subarray(1000, 2000)), "a range");
  assert.equal(await within("HEAD", hasBlob(server, sha256)), true);

  // List: mine, not the stranger's.
  const list = await within("list", listBlobs(server, getPublicKey(key), { auth: true, onAuth: () => createListAuth(sign, { servers: host }) }));
  assert.deepEqual(list.map((blob) => blob.sha256).sort(), [sha256, second.sha256].sort());
  const strangersList = await within("list", listBlobs(server, getPublicKey(stranger), { auth: true, onAuth: () => createListAuth(strangersSign, { servers: host }) }));
  assert.deepEqual(strangersList, [], "a stranger owns nothing");

  // Mirror: a blob of another server comes over, and is nobody's but who asked.
  const foreign = randomBytes(50_000);
  const origin = createServer((_, response) => response.writeHead(200, { "content-type": "video/mp4" }).end(foreign)).listen(0, "127.0.0.1");
  await once(origin, "listening");
  const foreignHash = createHash("sha256").update(foreign).digest("hex");
  const elsewhere = { url: `http://127.0.0.1:${origin.address().port}/${foreignHash}.mp4`, sha256: foreignHash, size: foreign.length, type: "video/mp4", uploaded: 0 };
  const mirrored = await within("mirror", mirrorBlob(server, elsewhere, { auth: true, onAuth: (_server, hash) => createMirrorAuth(strangersSign, hash, { servers: host }) }));
  origin.close();
  assert.equal(mirrored.sha256, foreignHash);
  assert.ok(Buffer.from(await (await fetch(mirrored.url)).arrayBuffer()).equals(foreign), "the mirrored bytes");
  assert.equal(await within("delete", deleteBlob(server, foreignHash, { auth: true, onAuth: (_s, hash) => createDeleteAuth(strangersSign, hash, { servers: host }) })), true);

  // Delete: only the owner may; gone afterwards.
  await assert.rejects(deleteBlob(server, sha256, { auth: true, onAuth: (_s, hash) => createDeleteAuth(strangersSign, hash, { servers: host }) }), "only the owner deletes");
  assert.equal(await hasBlob(server, sha256), true);
  assert.equal(await within("delete", deleteBlob(server, sha256, { auth: true, onAuth: (_s, hash) => createDeleteAuth(sign, hash, { servers: host }) })), true);
  assert.equal(await hasBlob(server, sha256), false, "gone");
  await assert.rejects(downloadBlob(server, sha256, { auth: false }), "a deleted blob is not served");
  const rest = await listBlobs(server, getPublicKey(key), { auth: true, onAuth: () => createListAuth(sign, { servers: host }) });
  assert.deepEqual(rest.map((blob) => blob.sha256), [second.sha256]);
});
