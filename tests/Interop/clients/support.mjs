// What every client script shares: arguments from the environment, deadlines, and a WebSocket for libraries made for browsers.
import assert from "node:assert/strict";
import { WebSocket } from "ws";

// As in a browser, a message is an event of its own: in the same tick as `open`, ws_stream_wasm (in the rust-nostr SDK) has no handler yet
// and would miss the AUTH challenge that a relay sends first.
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { allowSynchronousEvents: false });
  }
};
const DeadlineMs = 20_000;

/** An argument the test passes, e.g. RELAY_URL. */
export function argument(name) {
  const value = process.env[name];
  assert.ok(value, `the environment variable ${name} is missing`);
  return value;
}

export const now = () => Math.floor(Date.now() / 1000);

/** The promise's value, or a failure that says what was waited for. */
export function within(what, promise, milliseconds = DeadlineMs) {
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([promise, deadline]).finally(() => clearTimeout(timer));
}

/** A promise and the function that fulfils it. */
export function signal() {
  let resolve;
  const promise = new Promise((done) => { resolve = done; });
  return { promise, resolve };
}

/** The stored events of a nostr-tools relay that match; fails with the relay's reason when it closes the subscription. */
export function query(relay, ...filters) {
  return within("EOSE", new Promise((resolve, reject) => {
    const events = [];
    const subscription = relay.subscribe(filters, {
      // The library gives up waiting for EOSE after 4.4 s and calls oneose all the same; it checks signatures in JavaScript, which takes longer on a busy machine.
      eoseTimeout: 60_000,
      onevent: (event) => events.push(event),
      oneose: () => { resolve(events); subscription.close(); },
      onclose: (reason) => reject(new Error(reason)),
    });
  }));
}

export function assertSameIds(actual, expected, what) {
  assert.deepEqual(actual.map((event) => event.id ?? event).sort(), expected.map((event) => event.id ?? event).sort(), what);
}

/** Runs the scenario and ends the process: 0 when every assertion held, else 1 with the reason. */
export async function run(scenario) {
  try {
    await scenario();
    console.log("ok");
    process.exit(0);
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}
