// What docs/operate.md hands to other programs: alert rules, dashboard, systemd unit, names of files.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parse } from "yaml";
import { root, run } from "./lib/docker.mjs";

const files = join(root, "helm", "marmot-server", "files");

describe("what operators are handed", () => {
  it("has alert rules that Prometheus takes", async () => {
    const program = join(root, ".tools", "bin", "promtool");
    const { status, text } = await run(existsSync(program) ? program : "promtool", ["check", "rules", join(files, "alerts.yaml")], { status: true });
    assert.equal(status, 0, text);
  });

  it("says of each alert how bad it is and what it means", () => {
    for (const { alert, labels, annotations } of parse(readFileSync(join(files, "alerts.yaml"), "utf8")).groups.flatMap(({ rules }) => rules)) {
      assert.match(alert, /^Marmot/);
      assert.ok(["warning", "critical"].includes(labels.severity), alert);
      assert.ok(annotations.summary.length > 20, alert);
    }
  });

  it("has a dashboard whose panels do not overlap and all ask something", () => {
    const { panels } = JSON.parse(readFileSync(join(files, "dashboard.json"), "utf8"));
    const cells = new Set();
    for (const { gridPos: { x, y, w, h }, title, type, targets } of panels) {
      assert.ok(x + w <= 24, title);
      assert.ok(type === "row" || targets.length > 0, title);
      for (let row = y; row < y + h; row++) for (let column = x; column < x + w; column++) assert.ok(!cells.has(`${row} ${column}`) && cells.add(`${row} ${column}`), title);
    }
  });

  it("has a systemd unit that systemd takes and finds well contained", async () => {
    const unit = join(root, "deploy", "marmot-server.service");
    const { status, text } = await run("systemd-analyze", ["verify", unit], { status: true });
    // The unit's program is installed by the operator: that it is not here is all that may be said.
    assert.deepEqual(text.split("\n").filter((line) => line && !/is not executable|No such file/.test(line)), [], String(status));
    await run("systemd-analyze", ["security", "--offline=true", "--threshold=20", unit]);
  });

  it("names only files that are there", () => {
    for (const page of ["docs/operate.md", "helm/marmot-server/README.md"]) {
      for (const [, name] of readFileSync(join(root, page), "utf8").matchAll(/`((?:docs|deploy|helm|tests|src)\/[A-Za-z0-9_./-]+)`/g)) assert.ok(existsSync(join(root, name)), `${page}: ${name}`);
    }
  });
});
