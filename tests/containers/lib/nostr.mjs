// What a client of the suite does from outside: publish, query, upload, fetch.
import { createHash, randomBytes } from "node:crypto";
import { finalizeEvent, generateSecretKey } from "nostr-tools/pure";
import WebSocket from "ws";

export const now = () => Math.floor(Date.now() / 1000);
export const newGroup = () => randomBytes(32).toString("hex");
const key = generateSecretKey();

export const groupEvent = (group, bytes = 300) => finalizeEvent({ kind: 445, tags: [["h", group]], content: randomBytes(bytes).toString("base64"), created_at: now() }, key);

/** One connection; every OK, EVENT and EOSE is handed to the one who waits for it. */
export class Client {
  static connect(url, { seconds = 10 } = {}) {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, { handshakeTimeout: seconds * 1000 });
      socket.once("error", reject);
      socket.once("open", () => {
        socket.off("error", reject);
        resolve(new Client(socket));
      });
    });
  }

  constructor(socket) {
    this.socket = socket;
    this.answers = new Map();
    this.subscriptions = new Map();
    this.closed = new Promise((resolve) => socket.once("close", (code) => {
      for (const { reject } of this.answers.values()) reject(new Error(`closed with ${code}`));
      for (const { reject } of this.subscriptions.values()) reject(new Error(`closed with ${code}`));
      resolve(code);
    }));
    socket.on("error", () => {}); // the close event follows
    socket.on("message", (data) => this.#read(JSON.parse(data)));
  }

  #read([type, id, ...rest]) {
    if (type === "OK") this.answers.get(id)?.resolve({ accepted: rest[0], reason: rest[1] });
    const subscription = this.subscriptions.get(id);
    if (type === "EVENT") subscription?.onEvent(rest[0]);
    if (type === "EOSE") subscription?.resolve();
    if (type === "CLOSED") subscription?.reject(new Error(rest[0]));
  }

  /** The relay's answer to the event; rejects when the connection ends first. */
  publish(event) {
    return new Promise((resolve, reject) => {
      this.answers.set(event.id, { resolve, reject });
      this.socket.send(JSON.stringify(["EVENT", event]));
    }).finally(() => this.answers.delete(event.id));
  }

  /** Subscribes and waits for EOSE; stored and live events go to onEvent. */
  subscribe(filter, onEvent = () => {}) {
    const id = randomBytes(8).toString("hex");
    return new Promise((resolve, reject) => {
      this.subscriptions.set(id, { resolve, reject, onEvent });
      this.socket.send(JSON.stringify(["REQ", id, filter]));
    });
  }

  async query(filter) {
    const events = [];
    await this.subscribe(filter, (event) => events.push(event));
    return events;
  }

  close() {
    this.socket.close();
    return this.closed;
  }
}

/**
 * Publishes without pause over some connections until told to stop, reconnecting when one breaks.
 * `acknowledged` holds the ids with OK true; an event whose answer was lost is sent again, as clients do.
 */
export class Load {
  constructor(url, { connections = 4, group = newGroup() } = {}) {
    this.group = group;
    this.acknowledged = new Set();
    this.refused = [];
    this.breaks = 0;
    this.stopping = false;
    this.work = Promise.all(Array.from({ length: connections }, () => this.#publish(url)));
  }

  async #publish(url) {
    let client;
    let event = groupEvent(this.group);
    while (!this.stopping) {
      try {
        client ??= await Client.connect(url);
        const { accepted, reason } = await client.publish(event);
        if (accepted) this.acknowledged.add(event.id);
        else this.refused.push(reason);
        event = groupEvent(this.group);
      } catch {
        this.breaks++;
        client?.socket.terminate();
        client = undefined;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    await client?.close();
  }

  /** Waits until so many more events were acknowledged. */
  async more(count, { seconds = 60 } = {}) {
    const goal = this.acknowledged.size + count;
    const end = Date.now() + seconds * 1000;
    while (this.acknowledged.size < goal) {
      if (Date.now() > end) throw new Error(`only ${this.acknowledged.size} of ${goal} events acknowledged within ${seconds} s; ${this.breaks} breaks, refused: ${this.refused.slice(0, 3)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stop() {
    this.stopping = true;
    await this.work;
  }
}

/** Which of these ids the relay does not have. */
export async function missing(url, ids) {
  const client = await Client.connect(url);
  const all = [...ids];
  const found = new Set();
  for (let i = 0; i < all.length; i += 500) {
    for (const event of await client.query({ ids: all.slice(i, i + 500) })) found.add(event.id);
  }
  await client.close();
  return all.filter((id) => !found.has(id));
}

/** The Authorization header of a BUD-11 token. */
export function blossomToken(verb, hash, server) {
  const tags = [["t", verb], ["expiration", String(now() + 300)], ["server", server], ...(hash ? [["x", hash]] : [])];
  return "Nostr " + Buffer.from(JSON.stringify(finalizeEvent({ kind: 24242, tags, content: verb, created_at: now() }, key))).toString("base64");
}

export async function upload(http, bytes, { server = new URL(http).hostname } = {}) {
  const hash = createHash("sha256").update(bytes).digest("hex");
  const response = await fetch(`${http}/upload`, { method: "PUT", body: bytes, headers: { Authorization: blossomToken("upload", hash, server), "Content-Type": "application/octet-stream", "X-SHA-256": hash } });
  if (!response.ok) throw new Error(`upload: ${response.status} ${response.headers.get("x-reason") ?? await response.text()}`);
  const descriptor = await response.json();
  if (descriptor.sha256 !== hash) throw new Error("the descriptor names another hash");
  return hash;
}

export async function download(http, hash, headers = {}) {
  const response = await fetch(`${http}/${hash}`, { headers });
  if (!response.ok) throw new Error(`download: ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}
