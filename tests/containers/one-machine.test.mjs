// docker compose up: the suite in one container on embedded storage, asked from outside.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Compose, docker, doctor, root, run, until } from "./lib/docker.mjs";
import { assertContained } from "./lib/contained.mjs";
import { Client, Load, blossomToken, download, groupEvent, missing, newGroup, upload } from "./lib/nostr.mjs";

const page = readFileSync(join(root, "docs", "operate.md"), "utf8");
const [backup, restore] = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, lines]) => lines).filter((lines) => lines.includes("marmot.tar"));

describe("docker compose up", () => {
  let suite;
  let marmot;
  before(async () => {
    suite = await Compose.open("one");
    suite.env.MARMOT_ORIGIN = suite.relay;
    await suite.up();
    [marmot] = await suite.containers("marmot");
  });
  after(async () => { await suite?.down(); });

  it("is up and healthy from a clean checkout, without .env and without secrets", () => assert.equal(marmot.State.Health.Status, "healthy"));

  it("publishes the public port on loopback and nothing else", () => {
    const published = Object.entries(marmot.NetworkSettings.Ports).flatMap(([port, bindings]) => (bindings ?? []).map((binding) => `${binding.HostIp} ${port}`));
    assert.deepEqual(published, ["127.0.0.1 8080/tcp"]);
  });

  it("contains its containers: no root, nothing writable, no capability, bounded memory, processes and logs", async () => {
    for (const { Config, HostConfig, Name } of await suite.containers()) assertContained(Config, HostConfig, Name);
  });

  it("answers NIP-11, an event's round trip and a live subscription", async () => {
    const document = await (await fetch(suite.http, { headers: { Accept: "application/nostr+json" } })).json();
    assert.ok(document.supported_nips.includes(42));
    const [alice, bob] = [await Client.connect(suite.relay), await Client.connect(suite.relay)];
    const group = newGroup();
    const live = new Promise((resolve) => bob.subscribe({ kinds: [445], "#h": [group] }, resolve));
    const event = groupEvent(group);
    await until("the subscription", async () => { assert.equal((await alice.publish(event)).accepted, true); return true; });
    assert.equal((await live).id, event.id);
    assert.deepEqual((await alice.query({ "#h": [group] })).map(({ id }) => id), [event.id]);
    await Promise.all([alice.close(), bob.close()]);
  });

  it("stores a blob and gives it back, whole and by range, and forgets it on request", async () => {
    const bytes = randomBytes(5_000_000);
    const hash = await upload(suite.http, bytes);
    assert.ok((await download(suite.http, hash)).equals(bytes));
    assert.ok((await download(suite.http, hash, { Range: "bytes=1000-1999" })).equals(bytes.subarray(1000, 2000)));
    const deleted = await fetch(`${suite.http}/${hash}`, { method: "DELETE", headers: { Authorization: blossomToken("delete", hash, "127.0.0.1") } });
    assert.ok(deleted.ok, String(deleted.status));
    assert.equal((await fetch(`${suite.http}/${hash}`)).status, 404);
  });

  it("passes marmot-server doctor from outside: groups, messages, removal, media, a push trigger", async () => {
    console.log((await doctor("--relay", suite.relay, "--blossom", suite.http, "--notify", await npub(suite))).replace(/^/gm, "# "));
  });

  it("shows neither health nor metrics on the public port", async () => {
    for (const path of ["/healthz", "/readyz", "/metrics"]) assert.equal((await fetch(suite.http + path)).status, 404, path);
  });

  it("says by its own health command that every part is ready", async () => {
    const { parts } = JSON.parse(await docker("exec", marmot.Id, "dotnet", "/app/marmot-server.dll", "healthcheck"));
    assert.ok(parts.relay && parts.blossom && parts["notify-inbox"]);
    assert.ok(Object.values(parts).every(({ ready }) => ready));
  });

  it("keeps events, blobs and the push key when the container is made anew", async () => {
    const client = await Client.connect(suite.relay);
    const event = groupEvent(newGroup());
    await client.publish(event);
    const bytes = randomBytes(100_000);
    const hash = await upload(suite.http, bytes);
    const key = await npub(suite);
    await suite.run("down", "--timeout", "30");
    await suite.up();
    assert.deepEqual(await missing(suite.relay, [event.id]), []);
    assert.ok((await download(suite.http, hash)).equals(bytes));
    assert.equal(await npub(suite), key);
  });

  it("keeps events, blobs and the push key over the backup and restore of docs/operate.md, and nothing that came between", async () => {
    const client = await Client.connect(suite.relay);
    const event = groupEvent(newGroup());
    await client.publish(event);
    const bytes = randomBytes(3_000_000);
    const hash = await upload(suite.http, bytes);
    const key = await npub(suite);
    const archive = join(suite.folder, "marmot.tar");
    const type = (lines) => run("bash", ["-euc", lines.replaceAll("marmot.tar", archive)], { env: { ...suite.env, COMPOSE_PROJECT_NAME: suite.project } });
    await type(backup);
    assert.equal(statSync(archive).mode & 0o077, 0);
    const later = groupEvent(newGroup());
    await (await Client.connect(suite.relay)).publish(later);
    await type(restore);
    assert.deepEqual(await missing(suite.relay, [event.id, later.id]), [later.id]);
    assert.ok((await download(suite.http, hash)).equals(bytes));
    assert.equal(await npub(suite), key);
  });

  it("loses nothing acknowledged when it is killed under load, and comes back each time", async () => {
    const load = new Load(suite.relay);
    for (let kill = 0; kill < 5; kill++) {
      await load.more(150);
      const [{ Id }] = await suite.containers("marmot");
      await docker("kill", "--signal", "KILL", Id);
      await docker("start", Id);
    }
    await load.more(150);
    await load.stop();
    console.log(`# 5 kills, ${load.acknowledged.size} acknowledged, ${load.breaks} broken connections`);
    assert.ok(load.breaks > 0);
    assert.deepEqual(load.refused, []);
    assert.deepEqual(await missing(suite.relay, load.acknowledged), []);
  });

  it("drains on SIGTERM under load: exit 0, every acknowledged event is there", async () => {
    const load = new Load(suite.relay);
    await load.more(200);
    await suite.run("stop", "--timeout", "30");
    await load.stop();
    const [stopped] = await suite.containers("marmot");
    assert.equal(stopped.State.ExitCode, 0);
    await suite.up();
    assert.deepEqual(await missing(suite.relay, load.acknowledged), []);
  });

  it("leaves nothing behind after down -v", async () => {
    const { project } = suite;
    await suite.down();
    suite = undefined;
    for (const what of ["container", "volume", "network"]) {
      const args = what === "container" ? ["ps", "-aq"] : [what, "ls", "-q"];
      assert.equal(await docker(...args, "--filter", `label=com.docker.compose.project=${project}`), "");
    }
  });
});

async function npub(suite) {
  return until("the start card", async () => /npub1[0-9a-z]{58}/.exec(await suite.run("logs", "marmot"))?.[0]);
}
