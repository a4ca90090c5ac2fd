// The image alone: who it runs as, what it can write, what is in it, how it starts and stops.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { docker, freePort, image, run, until } from "./lib/docker.mjs";

const hardened = ["--read-only", "--tmpfs", "/tmp:size=64m,noexec", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "512", "--memory", "512m"];
// Above the base image: program, libraries (StackExchange.Redis alone is 2.4), native libraries. The base is not ours to shrink.
const largestOwnMegabytes = 34;

describe("the image", () => {
  let inspected;
  const started = [];
  before(async () => { [inspected] = JSON.parse(await docker("image", "inspect", image)); });
  after(async () => { if (started.length) await docker("rm", "-fv", ...started); });

  async function start(...args) {
    const id = (await docker("run", "-d", ...hardened, ...args)).trim();
    started.push(id);
    return id;
  }

  const healthy = (id) => until("healthy", async () => {
    const [container] = JSON.parse(await docker("inspect", id));
    assert.ok(container.State.Running, await logs(id));
    return container.State.Health.Status === "healthy";
  });
  const logs = async (id) => (await run("docker", ["logs", id], { status: true })).text;

  it("runs as a numbered user that is not root", () => assert.match(inspected.Config.User, /^[1-9][0-9]*$/));

  it("starts the program itself, not a shell", () => assert.deepEqual(inspected.Config.Entrypoint, ["dotnet", "/app/marmot-server.dll"]));

  it("is checked for health by the program itself", () => {
    assert.equal(inspected.Config.Healthcheck.Test[0], "CMD");
    assert.ok(inspected.Config.Healthcheck.Test.includes("healthcheck"));
  });

  it("says what it is, of which version and under which licence", () => {
    for (const label of ["title", "description", "licenses", "version", "revision"]) assert.ok(inspected.Config.Labels[`org.opencontainers.image.${label}`], label);
  });

  it("keeps its state in one volume", () => assert.deepEqual(Object.keys(inspected.Config.Volumes), ["/data"]));

  it("holds neither a shell nor curl", async () => {
    for (const program of ["sh", "bash", "curl"]) {
      assert.notEqual((await run("docker", ["run", "--rm", "--entrypoint", program, image, "--version"], { status: true })).status, 0, program);
    }
  });

  it("holds no sources, tests or secrets", async () => {
    const id = (await docker("create", image)).trim();
    started.push(id);
    const files = await run("sh", ["-c", `docker export ${id} | tar -t`]);
    assert.doesNotMatch(files, /\.cs$|\.csproj$|\.git\/|tests\/|\.pdb$|\.env$|\.p8$/m);
    assert.match(files, /app\/marmot-server\.dll/);
  });

  it(`adds less than ${largestOwnMegabytes} MB to its base`, async () => {
    const own = (await docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", image)).split("\n")
      .filter((line) => / COPY .*(\/native\/|\/app\/|\/state\/data)/.test(line)).reduce((sum, line) => sum + Number(line.split(" ")[0]), 0);
    console.log(`# image ${(inspected.Size / 1e6).toFixed(0)} MB, of it ours ${(own / 1e6).toFixed(1)} MB`);
    assert.ok(own > 0 && own < largestOwnMegabytes * 1e6, String(own));
  });

  it("starts every role on a read-only root without capabilities, and stops on SIGTERM with 0", async () => {
    const roles = { all: [], relay: [], blossom: [], notify: ["-e", "Notify__Relays__0=ws://127.0.0.1:1", "-e", "Admin__Urls=http://127.0.0.1:8081"] };
    await Promise.all(Object.entries(roles).map(async ([role, settings]) => {
      const id = await start(...settings, image, role);
      // A notification server without its relay is alive, and says that it is not ready.
      if (role === "notify") await until("the card", async () => /push server +npub1/.test(await logs(id)));
      else await healthy(id);
      await docker("stop", "--time", "30", id);
      const [stopped] = JSON.parse(await docker("inspect", id));
      assert.equal(stopped.State.ExitCode, 0, `${role}: ${await logs(id)}`);
    }));
  });

  it("writes nowhere but to /data and /tmp", async () => {
    const port = await freePort();
    const id = (await docker("run", "-d", "--cap-drop", "ALL", "-p", `127.0.0.1:${port}:8080`, image)).trim();
    started.push(id);
    await healthy(id);
    const changes = (await docker("diff", id)).split("\n").filter((line) => line && !/^. \/(tmp|data)(\/|$)/.test(line));
    assert.deepEqual(changes, []);
  });

  it("works as any user, as OpenShift gives it one", async () => {
    const data = mkdtempSync(join(tmpdir(), "marmot-any-user-"));
    try {
      chmodSync(data, 0o777);
      const id = await start("--user", "1000650000:0", "-v", `${data}:/data`, image);
      await healthy(id);
    } finally {
      rmSync(data, { recursive: true, force: true });
    }
  });

  it("takes a secret as Kubernetes mounts it, root's and readable by the server's group, and none that others may read", async () => {
    const folder = mkdtempSync(join(tmpdir(), "marmot-secret-"));
    const file = join(folder, "notify.key");
    const settings = ["-v", `${folder}:/secrets:ro`, "-e", "Notify__Relays__0=ws://127.0.0.1:1", "-e", "Notify__Apps__0__Name=a", "-e", "Notify__Apps__0__KeyFile=/secrets/notify.key", image, "notify"];
    try {
      chmodSync(folder, 0o755);
      writeFileSync(file, randomBytes(32).toString("hex"));
      chownSync(file, 0, 1654);
      chmodSync(file, 0o440);
      const id = await start(...settings);
      await until("the card", async () => /push server +npub1/.test(await logs(id)));
      chmodSync(file, 0o444);
      const { status, text } = await run("docker", ["run", "--rm", ...hardened, ...settings], { status: true });
      assert.notEqual(status, 0);
      assert.match(text, /other users may read/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("names every wrong setting and does not start", async () => {
    const { status, text } = await run("docker", ["run", "--rm", ...hardened, "-e", "Relay__MaxLimitt=1", "-e", "Blossom__Retention=soon", image, "all"], { status: true });
    assert.equal(status, 2);
    assert.match(text, /MaxLimitt/);
    assert.match(text, /Retention/);
  });

  it("checks settings and shows its commands without starting anything", async () => {
    assert.match(await docker("run", "--rm", "--network", "none", ...hardened, image, "config", "check", "--Notify:Relays:0=wss://relay.example.org"), /valid/);
    assert.match(await docker("run", "--rm", "--network", "none", ...hardened, image, "--help"), /marmot-server \[command\][^]*\n +doctor /);
  });

  it("answers from outside, and tells how soon after its start", async () => {
    const port = await freePort();
    const id = await start("-p", `127.0.0.1:${port}:8080`, image);
    await until("an answer", async () => (await fetch(`http://127.0.0.1:${port}/`, { headers: { Accept: "application/nostr+json" }, signal: AbortSignal.timeout(300) })).ok, { pause: 10 });
    const answered = Date.now();
    const [container] = JSON.parse(await docker("inspect", id));
    console.log(`# first answer ${answered - Date.parse(container.State.StartedAt)} ms after the start`);
  });
});
