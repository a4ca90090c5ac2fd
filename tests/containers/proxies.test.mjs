// The proxy snippets of docs/operate.md, run as they stand but for name, port and certificate.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { docker, freePort, image, root, run, until } from "./lib/docker.mjs";
import { Client, blossomToken, download, groupEvent, newGroup, upload } from "./lib/nostr.mjs";

process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0"; // certificates made here
// Longer than the 60 s after which proxies cut by default, sockets and uploads; the relay is told not to ping meanwhile.
const silenceSeconds = 66;
const page = readFileSync(join(root, "docs", "operate.md"), "utf8");
const snippet = (language, start = "") => new RegExp("```" + language + "\n(" + start + "[\\s\\S]*?)```").exec(page)[1];

const proxies = {
  caddy: {
    image: "caddy",
    files: ({ port, backend }) => ({
      "/etc/caddy/Caddyfile": "{\n  admin off\n  auto_https disable_redirects\n  skip_install_trust\n}\n" + snippet("caddy").replace("relay.example.org {", `https://localhost:${port} {\n  tls internal`).replace(":8080", `:${backend}`),
    }),
  },
  nginx: {
    image: "nginx",
    files: ({ port, backend }) => ({
      "/etc/nginx/conf.d/default.conf": snippet("nginx").replace("443 ssl", `127.0.0.1:${port} ssl`).replace("relay.example.org;", "localhost;").replace(":8080", `:${backend}`)
        .replace(/ssl_certificate .*;/, "ssl_certificate /tls/cert.pem;").replace(/ssl_certificate_key .*;/, "ssl_certificate_key /tls/key.pem;"),
    }),
  },
};
// No Debian package has it: tried where its image can be pulled, or is named.
const traefik = process.env.MARMOT_TRAEFIK_IMAGE ?? (process.env.MARMOT_TOOLS ? undefined : "traefik:v3.7");
if (traefik) {
  proxies.traefik = {
    image: traefik,
    args: ["--configFile=/etc/traefik/traefik.yml"],
    files: ({ port, backend }) => ({
      "/etc/traefik/traefik.yml": snippet("yaml", "# /etc/traefik/traefik.yml").replace('":443"', `"127.0.0.1:${port}"`) + "global:\n  checkNewVersion: false\n  sendAnonymousUsage: false\n",
      "/etc/traefik/marmot.yml": snippet("yaml", "# /etc/traefik/marmot.yml").replace("relay.example.org`", "localhost`").replace(":8080", `:${backend}`).replace(/certFile: .*/, "certFile: /tls/cert.pem").replace(/keyFile: .*/, "keyFile: /tls/key.pem"),
    }),
  };
}

/** A PUT of a whole body; what it is answered. */
function put(url, body, headers) {
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method: "PUT", headers: { ...headers, "Content-Length": body.length } }, (response) => {
      response.resume().once("end", () => resolve({ status: response.statusCode, reason: response.headers["x-reason"] }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

/** An upload that takes so long, in equal pieces; the status of its answer. */
function slowUpload(http, { seconds, bytes = randomBytes(seconds * 200_000) }) {
  const hash = createHash("sha256").update(bytes).digest("hex");
  return new Promise((resolve, reject) => {
    const headers = { Authorization: blossomToken("upload", hash, "localhost"), "Content-Length": bytes.length, "X-SHA-256": hash };
    const request = https.request(`${http}/upload`, { method: "PUT", headers }, (response) => resolve(response.resume().statusCode));
    const piece = Math.ceil(bytes.length / seconds);
    let sent = 0;
    const clock = setInterval(() => {
      request.write(bytes.subarray(sent, sent += piece));
      if (sent < bytes.length) return;
      clearInterval(clock);
      request.end();
    }, 1_000);
    request.on("error", (error) => { clearInterval(clock); reject(error); });
  });
}

// This machine's address towards others: what comes from there is no proxy, whatever it says of itself.
const outer = Object.values(networkInterfaces()).flat().find((card) => !card.internal && card.family === "IPv4").address;

/** The status that a handshake from this address is answered with. */
function handshake(url, localAddress, headers = {}) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { localAddress, family: 4, headers, handshakeTimeout: 20_000 });
    socket.once("open", () => { socket.terminate(); resolve(101); });
    socket.once("unexpected-response", (request, response) => { request.destroy(); resolve(response.statusCode); });
    socket.once("error", reject);
  });
}

/** The same again and again, until it is refused. */
async function handshakesUntilRefused(url, localAddress, headers = () => ({})) {
  for (let i = 1; i < 250; i++) {
    const status = await handshake(url, localAddress, headers(i));
    if (status !== 101) return status;
  }
  return 101;
}

describe("proxies", { concurrency: true }, () => {
  for (const [name, proxy] of Object.entries(proxies)) {
    describe(`behind ${name}, as docs/operate.md has it`, () => {
      const started = [];
      const folder = mkdtempSync(join(tmpdir(), "marmot-proxy-"));
      let http, relay, backend, admin, silent, slow;

      before(async () => {
        const port = await freePort();
        backend = await freePort();
        admin = await freePort();
        http = `https://localhost:${port}`;
        relay = `wss://localhost:${port}`;
        await run("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=localhost", "-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")]);
        const mounts = Object.entries(proxy.files({ port, backend })).flatMap(([target, text], i) => {
          writeFileSync(join(folder, `conf${i}`), text);
          return ["-v", `${join(folder, `conf${i}`)}:${target}:ro`];
        });
        await start("-p", `127.0.0.1:${backend}:8080`, "-p", `127.0.0.1:${admin}:8081`, "-e", `Public__Origin=${relay}`, "-e", "Public__TrustedProxies=172.16.0.0/12;192.168.0.0/16;10.0.0.0/8",
          "-e", "Admin__Urls=http://0.0.0.0:8081", "-e", "Relay__PingInterval=00:10:00", "-e", "Relay__LimitLoopback=true", "-e", "Relay__WorkPerAddress=3000", "-e", "Blossom__UploadBurst=4", "-e", "Blossom__UploadsPerMinute=1", image);
        await start("--network", "host", ...mounts, "-v", `${folder}:/tls:ro`, proxy.image, ...(proxy.args ?? []));
        await until(`${name} answers`, async () => (await fetch(http, { headers: { Accept: "application/nostr+json" } })).ok);
        const client = await Client.connect(relay);
        silent = { client, since: Date.now() };
        slow = slowUpload(http, { seconds: silenceSeconds }).catch((error) => error);
      });
      after(async () => {
        await docker("rm", "-fv", ...started);
        rmSync(folder, { recursive: true, force: true });
      });

      async function start(...args) {
        started.push((await docker("run", "-d", ...args)).trim());
      }

      it("gives the relay's document and takes and returns an event", async () => {
        assert.ok((await (await fetch(http, { headers: { Accept: "application/nostr+json" } })).json()).supported_nips.includes(1));
        const client = await Client.connect(relay);
        const event = groupEvent(newGroup());
        assert.equal((await client.publish(event)).accepted, true);
        assert.equal((await client.query({ ids: [event.id] })).length, 1);
        await client.close();
      });

      it("passes a large blob up and down, whole and by range", async () => {
        const bytes = randomBytes(64_000_000);
        const hash = await upload(http, bytes);
        assert.ok((await download(http, hash)).equals(bytes));
        const range = await fetch(`${http}/${hash}`, { headers: { Range: "bytes=63000000-63000009" } });
        assert.equal(range.status, 206);
        assert.ok(Buffer.from(await range.arrayBuffer()).equals(bytes.subarray(63_000_000, 63_000_010)));
      });

      it("passes an upload on while it is still coming", async () => {
        const bytes = randomBytes(4_000_000);
        const hash = createHash("sha256").update(bytes).digest("hex");
        const answer = new Promise((resolve, reject) => {
          const request = https.request(`${http}/upload`, { method: "PUT", headers: { Authorization: blossomToken("upload", hash, "localhost"), "Content-Length": bytes.length, "X-SHA-256": hash } }, resolve);
          request.on("error", reject);
          request.write(bytes.subarray(0, 2_000_000));
          until("the server has the first half, beside the slow one", async () => /marmot_blossom_uploads_under_way 2\n/.test(await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text()))
            .then(() => request.end(bytes.subarray(2_000_000)), reject);
        });
        assert.ok([200, 201].includes((await answer).statusCode));
      });

      it("tells the server the caller's own address, which limits count", async () => {
        // The limit here is four: this machine's own address, which the proxy names, has none; the proxy's would have one.
        for (let i = 0; i < 6; i++) await upload(http, randomBytes(100));
        const direct = async () => { for (let i = 0; i < 6; i++) await upload(`http://127.0.0.1:${backend}`, randomBytes(100), { server: "localhost" }); };
        await assert.rejects(direct, /429/);
      });

      it("tells it of WebSockets too: each caller has a budget of its own, whatever it says of itself", async () => {
        assert.equal(await handshakesUntilRefused(relay, "127.0.0.21"), 429);
        assert.equal(await handshake(relay, "127.0.0.22"), 101);
        const lie = (i) => ({ "X-Forwarded-For": `198.51.100.${i}`, "X-Real-IP": `198.51.100.${i}`, Forwarded: `for=198.51.100.${i}` });
        assert.equal(await handshakesUntilRefused(relay, outer, lie), 429);
        assert.equal(await handshake(relay, "127.0.0.22"), 101);
      });

      it("lets every sender of a large body read why it is refused", async () => {
        for (const size of [31_000_000, 120_000_000]) {
          const body = Buffer.alloc(size);
          const malformed = { "Content-Type": "application/octet-stream", Authorization: blossomToken("upload", "0".repeat(64), "localhost"), "X-SHA-256": "nonsense" };
          for (const [status, path, headers] of [[401, "/upload", {}], [404, "/nowhere", {}], [405, `/${"0".repeat(64)}`, {}], [400, "/upload", malformed]]) {
            const answer = await put(`${http}${path}`, body, headers);
            assert.deepEqual([answer.status, answer.reason !== undefined], [status, true], `${path} with ${size} bytes`);
          }
        }
      });

      it(`passes an upload that takes ${silenceSeconds} seconds`, async () => assert.equal(await slow, 201));

      it(`leaves a WebSocket open that is silent for ${silenceSeconds} seconds`, async () => {
        const left = silenceSeconds * 1000 - (Date.now() - silent.since);
        const outcome = await Promise.race([silent.client.closed.then((code) => `closed with ${code}`), new Promise((resolve) => setTimeout(resolve, left, "open"))]);
        assert.equal(outcome, "open");
        assert.equal((await silent.client.publish(groupEvent(newGroup()))).accepted, true);
        await silent.client.close();
      });
    });
  }
});
