// The ws library with permessage-deflate on, as Node.js clients have it: compressed messages both ways, and fewer bytes on the wire.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { finalizeEvent, generateSecretKey } from "nostr-tools/pure";
import { WebSocket } from "ws";
import { argument, now, run, signal, within } from "./support.mjs";

const Events = 60;
const group = randomBytes(32).toString("hex");

async function connect(perMessageDeflate) {
  const socket = new WebSocket(argument("RELAY_URL"), { perMessageDeflate });
  const client = { socket, characters: 0, ids: [], eose: signal(), all: signal(), accepted: signal(), oks: 0 };
  socket.on("message", (data) => {
    client.characters += data.length;
    const message = JSON.parse(data.toString());
    switch (message[0]) {
      case "EVENT": if (client.ids.push(message[2].id) === Events) client.all.resolve(); break;
      case "EOSE": client.eose.resolve(); break;
      case "OK": assert.equal(message[2], true, message[3]); if (++client.oks === Events) client.accepted.resolve(); break;
    }
  });
  await within("open", new Promise((resolve, reject) => { socket.on("open", resolve); socket.on("error", reject); }));
  return client;
}

await run(async () => {
  const writer = await connect({ threshold: 0 });
  const readers = [
    await connect({ threshold: 0 }),
    await connect({ serverNoContextTakeover: true, clientNoContextTakeover: true, serverMaxWindowBits: 8, clientMaxWindowBits: 10 }),
    await connect({ clientMaxWindowBits: true }),
  ];
  const plain = await connect(false);
  for (const client of [writer, ...readers]) assert.match(client.socket.extensions, /permessage-deflate/);
  assert.equal(plain.socket.extensions, "");
  for (const client of [...readers, plain]) client.socket.send(JSON.stringify(["REQ", "live", { kinds: [445], "#h": [group], limit: 0 }]));
  for (const client of [...readers, plain]) await within("EOSE", client.eose.promise);

  const events = Array.from({ length: Events }, () => finalizeEvent(
    { kind: 445, created_at: now(), tags: [["h", group]], content: randomBytes(1500).toString("base64") }, generateSecretKey()));
  for (const event of events) writer.socket.send(JSON.stringify(["EVENT", event]));
  await within("every OK", writer.accepted.promise);
  for (const client of [...readers, plain]) {
    await within("every event", client.all.promise);
    assert.deepEqual([...client.ids].sort(), events.map((event) => event.id).sort());
  }

  for (const client of readers) assert.ok(client.socket._socket.bytesRead < client.characters * 0.85, `${client.socket._socket.bytesRead} of ${client.characters}`);
  assert.ok(plain.socket._socket.bytesRead > plain.characters);
  const sent = events.reduce((sum, event) => sum + JSON.stringify(event).length, 0);
  assert.ok(writer.socket._socket.bytesWritten < sent * 0.85, `${writer.socket._socket.bytesWritten} of ${sent}`);
});
