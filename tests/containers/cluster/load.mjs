// load.mjs URL FILE: publishes to the relay until FILE exists, then looks for every event that was acknowledged. Status 1 if one is missing or was refused.
import { existsSync } from "node:fs";
import { Load, missing } from "../lib/nostr.mjs";
import { until } from "../lib/docker.mjs";

const [url, file] = process.argv.slice(2);
const load = new Load(url, { connections: 3 });
await until("told to stop", async () => existsSync(file), { seconds: 900 });
await load.more(20);
await load.stop();
const lost = await missing(url, load.acknowledged);
console.log(`${load.acknowledged.size} acknowledged, ${lost.length} lost, ${load.breaks} broken connections, ${load.refused.length} refused${load.refused.length ? `: ${[...new Set(load.refused)].join("; ")}` : ""}`);
process.exit(lost.length === 0 && load.refused.length === 0 ? 0 : 1);
