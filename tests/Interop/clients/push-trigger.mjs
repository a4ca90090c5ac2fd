// Builds kind 446 triggers as a client would, with nostr-tools and @noble packages only, in the three token dialects, and publishes
// their gift wraps. DEVICES is JSON: [{"dialect": "mip05-short" | "mip05-long" | "marmot-push-v1", "platform": "apns" | "fcm", "token": "…"}].
import { secp256k1, schnorr } from "@noble/curves/secp256k1.js";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { hexToBytes, randomBytes, utf8ToBytes, concatBytes } from "@noble/hashes/utils.js";
import { Buffer } from "node:buffer";
import { decode } from "nostr-tools/nip19";
import { wrapEvent } from "nostr-tools/nip59";
import { generateSecretKey } from "nostr-tools/pure";
import { Relay } from "nostr-tools/relay";
import { argument, now, run, within } from "./support.mjs";

const Mip05 = { salt: "mip05-v1", info: "mip05-token-encryption" };
const dialects = {
  "mip05-short": { ...Mip05, plaintextBytes: 220, tags: [] },
  "mip05-long": { ...Mip05, plaintextBytes: 1024, tags: [["v", "mip05-v1"], ["encoding", "base64"]] },
  "marmot-push-v1": { salt: "marmot-push-token-v1", info: "marmot-push-token-encryption", plaintextBytes: 1024, tags: [["v", "marmot-push-v1"]] },
};

/** MIP-05: ephemeral key (32) | nonce (12) | ChaCha20-Poly1305(platform (1) | length (2, big-endian) | token | random padding). */
function encryptToken(serverKey, { salt, info, plaintextBytes }, platform, token) {
  const length = Uint8Array.of(token.length >> 8, token.length & 0xff);
  const head = concatBytes(Uint8Array.of(platform), length, token);
  const plaintext = concatBytes(head, randomBytes(plaintextBytes - head.length));
  const ephemeral = schnorr.utils.randomSecretKey();
  const sharedX = secp256k1.getSharedSecret(ephemeral, concatBytes(Uint8Array.of(2), serverKey)).subarray(1, 33);
  const key = hkdf(sha256, sharedX, utf8ToBytes(salt), utf8ToBytes(info), 32);
  const nonce = randomBytes(12);
  return concatBytes(schnorr.getPublicKey(ephemeral), nonce, chacha20poly1305(key, nonce).encrypt(plaintext));
}

run(async () => {
  const server = decode(argument("SERVER_NPUB")).data;
  const devices = JSON.parse(argument("DEVICES"));
  const relay = await within("connection", Relay.connect(argument("RELAY_URL")));
  for (const [name, dialect] of Object.entries(dialects)) {
    const chunks = devices.filter((device) => device.dialect === name).map(({ platform, token }) =>
      platform === "apns" ? encryptToken(hexToBytes(server), dialect, 1, hexToBytes(token)) : encryptToken(hexToBytes(server), dialect, 2, utf8ToBytes(token)));
    const content = Buffer.from(concatBytes(...chunks)).toString("base64");
    const trigger = { kind: 446, tags: dialect.tags, content, created_at: now() };
    // The same trigger under two wraps, and each wrap sent twice: what relays and retrying clients do. Still one push a device.
    for (let copy = 0; copy < 2; copy++) {
      const wrap = wrapEvent(trigger, generateSecretKey(), server);
      await within("OK", relay.publish(wrap));
      await within("OK", relay.publish(wrap));
    }
  }
});
