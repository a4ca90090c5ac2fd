// docker compose, profile scale: two replicas of each role on PostgreSQL, Redis and S3 behind the proxy, asked from outside.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Compose, docker, doctor, root, run, until } from "./lib/docker.mjs";
import { Client, Load, blossomToken, download, groupEvent, missing, newGroup, upload } from "./lib/nostr.mjs";
import { assertContained } from "./lib/contained.mjs";

const replicated = ["relay", "blossom", "notify"];
const stores = ["postgres", "redis", "s3"];
const page = readFileSync(join(root, "docs", "operate.md"), "utf8");
const [backup, restore] = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, lines]) => lines).filter((lines) => lines.includes("marmot.dump"));

describe("docker compose, profile scale", () => {
  let suite;
  before(async () => {
    suite = await Compose.open("scale", { args: ["--env-file", "deploy/scale.env"] });
    suite.env.MARMOT_ORIGIN = suite.relay;
    await run("deploy/new-secrets.sh", [suite.env.MARMOT_SECRETS]);
    await suite.up();
  });
  after(async () => { await suite?.down(); });

  const running = async (service) => (await suite.containers(service)).filter(({ State }) => State.Running);
  // Docker's word is up to ten seconds old, so the roles are asked themselves; the stores are there as soon as Docker says so.
  const isReady = ({ Id }) => docker("exec", Id, "dotnet", "/app/marmot-server.dll", "healthcheck").then(() => true, () => false);
  const ready = (role) => until(`2 ready ${role}`, async () => {
    const replicas = await running(role);
    return replicas.length === 2 && (await Promise.all(replicas.map(isReady))).every(Boolean);
  }, { seconds: 90, pause: 500 });
  const healthy = (service, count) => until(`${count} healthy ${service}`, async () => (await running(service)).filter(({ State }) => State.Health?.Status === "healthy").length === count, { seconds: 90, pause: 500 });
  const address = ({ NetworkSettings }) => Object.entries(NetworkSettings.Networks).find(([name]) => name.endsWith("_edge"))[1].IPAddress;

  it("is up: two healthy replicas of each role, the stores, the proxy, and the one process not", async () => {
    for (const role of replicated) assert.equal((await running(role)).length, 2, role);
    for (const { Name, State } of await suite.containers()) assert.ok(State.Running ? State.Health.Status === "healthy" : State.ExitCode === 0, `${Name}: ${State.Status}`);
    assert.deepEqual(await suite.containers("marmot"), []);
  });

  it("refuses to start without its secrets, naming the file that is missing", async () => {
    const bare = await Compose.open("bare", { args: ["--env-file", "deploy/scale.env"] });
    for (const store of ["postgres", "redis"]) await assert.rejects(bare.up(store), /secrets\/[a-z_.]+/);
    await bare.down();
  });

  it("makes secrets once and never over old ones, readable by their one reader", async () => {
    const folder = suite.env.MARMOT_SECRETS;
    const before = await run("sh", ["-c", `cd ${folder} && sha256sum *`]);
    await run("deploy/new-secrets.sh", [folder]);
    assert.equal(await run("sh", ["-c", `cd ${folder} && sha256sum *`]), before);
    assert.equal(await run("find", [folder, "-type", "f", "!", "-perm", "400"]), "");
  });

  it("keeps passwords out of the settings and arguments of the suite's containers", async () => {
    for (const { Config, Name } of await suite.containers()) {
      const [, service] = /-(\w+(?:-volume)?)-\d+$/.exec(Name);
      if (service === "s3" || service === "bucket") continue; // that server knows no other way
      assert.doesNotMatch([...Config.Env, ...(Config.Cmd ?? [])].join("\n"), /[0-9a-f]{32}/, Name);
    }
  });

  it("publishes the proxy's port on loopback and nothing else; the stores have no way out", async () => {
    const published = (await suite.containers()).flatMap(({ Name, NetworkSettings }) => Object.values(NetworkSettings.Ports ?? {}).flatMap((bindings) => (bindings ?? []).map(({ HostIp }) => `${/-(\w+)-\d+$/.exec(Name)[1]} ${HostIp}`)));
    assert.deepEqual(published, ["proxy 127.0.0.1"]);
    const [network] = JSON.parse(await docker("network", "inspect", `${suite.project}_stores`));
    assert.equal(network.Internal, true);
    for (const store of stores) for (const { NetworkSettings } of await suite.containers(store)) assert.deepEqual(Object.keys(NetworkSettings.Networks), [`${suite.project}_stores`]);
  });

  it("contains its containers: no root, nothing writable, no capability, bounded memory, processes and logs", async () => {
    for (const { Config, HostConfig, Name } of await suite.containers()) assertContained(Config, HostConfig, Name);
  });

  it("shows an event published on one relay to a subscriber of the other, once and in order", async () => {
    const [one, two] = (await running("relay")).map((container) => `ws://${address(container)}:8080`);
    const [alice, bob] = [await Client.connect(one), await Client.connect(two)];
    const group = newGroup();
    const seen = [];
    await bob.subscribe({ kinds: [445], "#h": [group] }, ({ id }) => seen.push(id));
    const sent = [];
    const times = [];
    for (let i = 0; i < 50; i++) {
      const event = groupEvent(group);
      sent.push(event.id);
      assert.equal((await alice.publish(event)).accepted, true);
      const acknowledged = performance.now();
      await until("the other side", async () => seen.includes(event.id), { seconds: 10, pause: 1 });
      times.push(performance.now() - acknowledged);
    }
    console.log(`# from OK on one relay to the subscriber of the other: median ${times.sort((a, b) => a - b)[25].toFixed(1)} ms`);
    assert.deepEqual(seen, sent);
    await Promise.all([alice.close(), bob.close()]);
  });

  it("serves a blob that one Blossom took from the other, and forgets it on both", async () => {
    const [one, two] = (await running("blossom")).map((container) => `http://${address(container)}:8080`);
    const bytes = randomBytes(12_000_000);
    const hash = await upload(one, bytes, { server: "127.0.0.1" });
    assert.ok((await download(two, hash)).equals(bytes));
    assert.ok((await download(suite.http, hash, { Range: "bytes=5-9" })).equals(bytes.subarray(5, 10)));
    assert.ok((await fetch(`${two}/${hash}`, { method: "DELETE", headers: { Authorization: blossomToken("delete", hash, "127.0.0.1") } })).ok);
    for (const server of [one, two]) assert.equal((await fetch(`${server}/${hash}`)).status, 404);
  });

  it("passes marmot-server doctor from outside, through the proxy", async () => {
    const [npub] = /npub1[0-9a-z]{58}/.exec(await suite.run("logs", "notify"));
    console.log((await doctor("--relay", suite.relay, "--blossom", suite.http, "--notify", npub)).replace(/^/gm, "# "));
  });

  it("listens for pushes with one key on both push servers", async () => {
    const logs = await suite.run("logs", "notify");
    const keys = new Set(logs.match(/npub1[0-9a-z]{58}/g));
    assert.equal(keys.size, 1);
  });

  for (const victim of ["relay", "blossom", "notify", "redis", "postgres", "s3"]) {
    it(`loses nothing acknowledged when a ${victim} is killed under load, and heals by itself`, async () => {
      const load = new Load(suite.relay, { connections: 3 });
      await load.more(60);
      const bytes = randomBytes(50_000);
      const hash = await upload(suite.http, bytes);
      const [{ Id }] = await running(victim);
      await docker("kill", "--signal", "KILL", Id);
      if (replicated.includes(victim)) await load.more(60); // the other one goes on
      await docker("start", Id);
      await load.more(60);
      await load.stop();
      if (stores.includes(victim)) await healthy(victim, 1);
      for (const role of replicated) await ready(role);
      assert.deepEqual(await missing(suite.relay, load.acknowledged), []);
      assert.ok((await download(suite.http, hash)).equals(bytes));
      await until("an upload", async () => upload(suite.http, randomBytes(1000)), { seconds: 30 });
    });
  }

  it("starts without its database, waits and heals when it comes", async () => {
    const [{ Id: database }] = await running("postgres");
    await docker("stop", database);
    const started = {};
    for (const role of replicated) {
      const [{ Id }] = await running(role);
      await docker("restart", "--time", "45", Id);
      started[Id] = JSON.parse(await docker("inspect", Id))[0].State.StartedAt;
    }
    const [relay, blossom] = await Promise.all(["relay", "blossom"].map(async (role) => (await suite.containers(role)).find(({ Id }) => started[Id])));
    const client = await until("the relay answers", () => Client.connect(`ws://${address(relay)}:8080`), { pause: 500 });
    const { accepted, reason } = await client.publish(groupEvent(newGroup()));
    assert.equal(accepted, false);
    assert.match(reason, /^error: /);
    await assert.rejects(client.query({ kinds: [445], limit: 1 }), /^Error: error: /);
    assert.equal(await isReady(relay), false);
    assert.equal(await isReady(blossom), false);
    await docker("start", database);
    for (const role of replicated) await ready(role);
    assert.equal((await client.publish(groupEvent(newGroup()))).accepted, true);
    await client.close();
    for (const [Id, at] of Object.entries(started)) assert.equal(JSON.parse(await docker("inspect", Id))[0].State.StartedAt, at, "it ended and was started anew");
  });

  it("replaces the relays one by one without losing an acknowledged event", async () => {
    const load = new Load(suite.relay, { connections: 3 });
    await load.more(50);
    for (const { Id } of await running("relay")) {
      await docker("stop", "--time", "45", Id);
      assert.equal(JSON.parse(await docker("inspect", Id))[0].State.ExitCode, 0);
      await load.more(30);
      await docker("start", Id);
      await ready("relay");
    }
    await load.more(50);
    await load.stop();
    assert.deepEqual(await missing(suite.relay, load.acknowledged), []);
  });

  it("keeps everything when all containers are made anew", async () => {
    const client = await Client.connect(suite.relay);
    const event = groupEvent(newGroup());
    assert.equal((await client.publish(event)).accepted, true);
    const bytes = randomBytes(100_000);
    const hash = await upload(suite.http, bytes);
    await suite.run("down", "--timeout", "45");
    await suite.up();
    assert.deepEqual(await missing(suite.relay, [event.id]), []);
    assert.ok((await download(suite.http, hash)).equals(bytes));
  });

  it("keeps events and blobs over the backup and restore of docs/operate.md, and nothing that came between", async () => {
    const client = await Client.connect(suite.relay);
    const event = groupEvent(newGroup());
    await client.publish(event);
    const bytes = randomBytes(3_000_000);
    const hash = await upload(suite.http, bytes);
    const env = { ...suite.env, COMPOSE_PROJECT_NAME: suite.project, COMPOSE_FILE: join(root, "docker-compose.yml") };
    const type = (lines) => run("bash", ["-euc", lines.replace(".env,deploy/scale.env", join(root, "deploy", "scale.env"))], { env, cwd: suite.folder });
    await type(backup);
    const later = groupEvent(newGroup());
    await client.publish(later);
    await type(restore);
    assert.deepEqual(await missing(suite.relay, [event.id, later.id]), [later.id]);
    assert.ok((await download(suite.http, hash)).equals(bytes));
  });

  it("leaves nothing behind after down -v", async () => {
    const { project } = suite;
    await suite.down();
    suite = undefined;
    for (const args of [["ps", "-aq"], ["volume", "ls", "-q"], ["network", "ls", "-q"]]) assert.equal(await docker(...args, "--filter", `label=com.docker.compose.project=${project}`), "");
  });
});
