// What every container of the compose file is held to, whatever runs in it.
import assert from "node:assert/strict";

export function assertContained(config, host, name) {
  assert.match(config.User, /^[1-9]/, `${name}: a numbered user that is not root`);
  assert.equal(host.ReadonlyRootfs, true, `${name}: read-only root`);
  assert.deepEqual(host.CapDrop, ["ALL"], `${name}: no capability`);
  assert.deepEqual((host.CapAdd ?? []).map((capability) => capability.replace("CAP_", "")), name.includes("-proxy-") && !name.includes("volume") ? ["NET_BIND_SERVICE"] : [], `${name}: none added`);
  assert.ok(host.SecurityOpt.includes("no-new-privileges:true"), `${name}: no new privileges`);
  assert.ok(host.Memory > 0, `${name}: memory limit`);
  assert.ok(host.PidsLimit > 0, `${name}: process limit`);
  assert.ok(host.LogConfig.Config["max-size"], `${name}: logs are rotated`);
  assert.equal(host.RestartPolicy.Name, /-(migrate|bucket|s3-volume|proxy-volume)-/.test(name) ? "no" : "unless-stopped", name);
}
