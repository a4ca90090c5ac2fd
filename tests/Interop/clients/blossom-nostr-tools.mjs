// A client written on nostr-tools (its NIP-B7 BlossomClient) uploads, lists, mirrors, fetches and deletes; one more upload has a token signed by rust-nostr.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { once } from "node:events";
import * as rust from "@rust-nostr/nostr-sdk";
import { BlossomClient } from "nostr-tools/nipb7";
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure";
import { argument, now, run, within } from "./support.mjs";

const server = argument("BLOSSOM_URL");
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const bytesOf = async (client, hash) => Buffer.from(await within("download", client.download(hash)));

function clientOf(key) {
  return new BlossomClient(server, { getPublicKey: async () => getPublicKey(key), signEvent: async (template) => finalizeEvent(template, key) });
}

run(async () => {
  const alice = clientOf(generateSecretKey());
  const bob = clientOf(generateSecretKey());
  const bytes = randomBytes(200_000);
  const hash = sha256(bytes);

  // Upload and fetch.
  const descriptor = await within("upload", alice.uploadBlob(new Blob([bytes]), "application/octet-stream"));
  assert.equal(descriptor.sha256, hash);
  assert.equal(descriptor.size, bytes.length);
  assert.ok(Math.abs(descriptor.uploaded - now()) < 60);
  await alice.check(hash);
  assert.ok((await bytesOf(bob, hash)).equals(bytes), "anybody fetches it");

  // Mirror from another server, which sees neither token nor cookie.
  const other = randomBytes(70_000);
  const seen = [];
  const origin = createServer((request, response) => {
    seen.push(request.headers);
    response.writeHead(200, { "content-type": "image/png" }).end(other);
  }).listen(0, "127.0.0.1");
  await once(origin, "listening");
  const mirrored = await within("mirror", alice.mirror(`http://127.0.0.1:${origin.address().port}/${sha256(other)}.png`));
  assert.equal(mirrored.sha256, sha256(other));
  assert.equal(mirrored.type, "image/png");
  assert.equal(seen.length, 1);
  assert.equal(seen[0].authorization, undefined);
  assert.ok((await bytesOf(alice, mirrored.sha256)).equals(other));
  await assert.rejects(alice.mirror(`http://127.0.0.1:${origin.address().port}/${hash}.png`), /409/, "other bytes than the token names");
  origin.close();

  // List: each their own.
  assert.deepEqual((await alice.list()).map((blob) => blob.sha256).sort(), [hash, mirrored.sha256].sort());
  assert.deepEqual(await bob.list(), []);

  // A second owner; deletion takes one claim, then the bytes.
  await bob.uploadBlob(new Blob([bytes]), "application/octet-stream");
  await alice.delete(hash);
  assert.ok((await bytesOf(bob, hash)).equals(bytes), "bob still holds it");
  await assert.rejects(alice.delete(hash), /403/);
  await bob.delete(hash);
  await assert.rejects(bob.download(hash), /404/);
  await assert.rejects(bob.delete(hash), /404/);

  // rust-nostr's npm build has no Blossom client; its events are good tokens all the same.
  rust.loadWasmSync?.();
  const last = randomBytes(1000);
  const token = new rust.EventBuilder(new rust.Kind(24242), "upload")
    .tags([["t", "upload"], ["x", sha256(last)], ["expiration", String(now() + 60)]].map((tag) => rust.Tag.parse(tag)))
    .signWithKeys(rust.Keys.generate());
  const answer = await fetch(new URL("/upload", server), {
    method: "PUT", body: last, headers: { Authorization: `Nostr ${Buffer.from(token.asJson()).toString("base64url")}` },
  });
  assert.equal(answer.status, 201, answer.headers.get("X-Reason"));
  assert.equal((await answer.json()).sha256, sha256(last));
});
