// Runs docker and docker compose; what a test needs to know about containers.
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
export const image = process.env.MARMOT_IMAGE ?? "marmot-server:test";

/** Runs a program; what it wrote. A status other than 0 throws with what it said. */
export function run(program, args, { env = {}, input, status, cwd = root } = {}) {
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, { cwd, env: { ...process.env, ...env }, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      const code = error ? error.code : 0;
      if (status === undefined && error) reject(new Error(`${program} ${args.join(" ")} ended with ${code}:\n${stdout}${stderr}`));
      else resolve(status === undefined ? stdout : { status: code, text: stdout + stderr });
    });
    if (input !== undefined) child.stdin.end(input);
  });
}

export const docker = (...args) => run("docker", args);

/** `marmot-server doctor` from outside, as an operator runs it; its report. Throws when a step failed. */
export const doctor = (...args) => docker("run", "--rm", "--network", "host", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", image, "doctor", ...args);

export function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** One compose project of its own name, port and secrets, whose files are those an operator uses. */
export class Compose {
  static async open(name, { env = {}, args = [] } = {}) {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), `marmot-${name}-`));
    mkdirSync(join(folder, "secrets"));
    return new Compose(`marmot-test-${name}`, folder, args, { MARMOT_IMAGE: image, MARMOT_PORT: String(port), MARMOT_SECRETS: join(folder, "secrets"), ...env }, port);
  }

  constructor(project, folder, args, env, port) {
    Object.assign(this, { project, folder, args, env, port, http: `http://127.0.0.1:${port}`, relay: `ws://127.0.0.1:${port}` });
  }

  run(...args) {
    return run("docker", ["compose", "-p", this.project, ...this.args, ...args], { env: this.env });
  }

  up(...args) {
    return this.run("up", "-d", "--no-build", "--wait", "--wait-timeout", "120", ...args);
  }

  /** The containers of the project, all or one service's, as `docker inspect` shows them. */
  async containers(service) {
    const filters = [`label=com.docker.compose.project=${this.project}`, ...(service ? [`label=com.docker.compose.service=${service}`] : [])];
    const ids = (await docker("ps", "-aq", ...filters.flatMap((filter) => ["--filter", filter]))).split("\n").filter(Boolean);
    return ids.length ? JSON.parse(await docker("inspect", ...ids)) : [];
  }

  async down() {
    await this.run("down", "-v", "--remove-orphans", "--timeout", "30");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Asks until the question is answered with something true; a question without an answer is asked again after five seconds. */
export async function until(what, ask, { seconds = 60, pause = 100 } = {}) {
  const end = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < end) {
    let timer;
    const silence = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("no answer")), 5_000); });
    try {
      const answer = await Promise.race([ask(), silence]);
      if (answer) return answer;
      last = answer;
    } catch (error) {
      last = error.message;
    } finally {
      clearTimeout(timer);
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  throw new Error(`${what}: not within ${seconds} s; last: ${last}`);
}
