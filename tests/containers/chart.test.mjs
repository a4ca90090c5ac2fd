// The chart, rendered over every file of ci/: linted, validated, and held to rules that a schema cannot say.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parse } from "yaml";
import { Manifests, cases, chart, env, helms, selects, template } from "./lib/chart.mjs";
import { image, root, run } from "./lib/docker.mjs";
import { valuesTable } from "./lib/values-table.mjs";

const validator = process.env.MARMOT_TOOLS && join(process.env.MARMOT_TOOLS, "validate-manifests");
const rendered = Object.fromEntries(await Promise.all(cases.map(async ({ name, file }) => [name, await Manifests.of(file)])));
const everywhere = (check) => { for (const [name, manifests] of Object.entries(rendered)) check(manifests, name); };
const distributed = Object.entries(rendered).filter(([name]) => name.startsWith("distributed"));

for (const [version, helm] of Object.entries(helms)) {
  describe(`the chart under ${version}`, () => {
    for (const { name, file } of cases) {
      it(`lints and renders ${name}, valid and hardened`, async () => {
        await run(helm, ["lint", "--strict", chart, "-f", file]);
        const text = await template(file, { helm });
        assert.match(text, /kind: ServiceAccount/);
        // Secrets and the private CA are the user's.
        if (validator) await run(validator, ["--hardened", "--warnings-fail", "--kube-version", "1.29", "--external", "Secret/*", "--external", "ConfigMap/*"], { input: text });
      });
    }

    it("refuses every values file that cannot work, naming the value", async () => {
      const folder = join(root, "tests", "containers", "refused");
      for (const file of readdirSync(folder)) {
        const expected = /^# names: (.*)$/m.exec(readFileSync(join(folder, file), "utf8"))[1];
        const { status, text } = await run(helm, ["template", "ci", chart, "-f", join(folder, file)], { status: true });
        assert.notEqual(status, 0, `${file} was taken`);
        assert.ok(text.includes(expected), `${file}: ${text}`);
      }
    });
  });
}

describe("the chart", () => {
  it("renders the same twice, so that GitOps tools see no change", async () => {
    for (const { file } of cases) assert.equal(await template(file), await template(file));
  });

  it("documents every value: the table in README.md is the one values.yaml gives", () => {
    const readme = readFileSync(join(chart, "README.md"), "utf8");
    assert.ok(readme.includes(valuesTable(readFileSync(join(chart, "values.yaml"), "utf8"))), "run node tests/containers/lib/values-table.mjs");
  });

  it("knows every value in its schema, and closes every object of its own", () => {
    const schema = JSON.parse(readFileSync(join(chart, "values.schema.json"), "utf8"));
    const resolve = (node) => (node.$ref ? schema.definitions[node.$ref.split("/").pop()] : node);
    (function compare(value, node, path) {
      if (value === null || typeof value !== "object" || Array.isArray(value) || !resolve(node).properties) return;
      for (const [key, inner] of Object.entries(value)) {
        assert.ok(resolve(node).properties[key], `${path}${key} has no schema`);
        compare(inner, resolve(node).properties[key], `${path}${key}.`);
      }
      if (path !== "global.") assert.equal(resolve(node).additionalProperties, false, `${path} is open`);
    })(parse(readFileSync(join(chart, "values.yaml"), "utf8")), schema, "");
  });

  it("runs one image for everything, hooks and tests included", () => everywhere(({ pods }) => {
    assert.equal(new Set(pods.flatMap(({ spec }) => spec.containers.map((container) => container.image))).size, 1);
  }));

  it("gives no pod a token of the API server, an init container or a host namespace", () => everywhere(({ pods }) => {
    for (const { spec } of pods) {
      assert.equal(spec.automountServiceAccountToken, false);
      assert.ok(!spec.initContainers && !spec.hostNetwork && !spec.hostPID && !spec.hostIPC);
    }
  }));

  it("sets a memory limit and no CPU limit on every container", () => everywhere(({ pods }) => {
    for (const { spec } of pods) {
      assert.ok(spec.containers[0].resources.limits.memory);
      assert.equal(spec.containers[0].resources.limits.cpu, undefined);
    }
  }));

  it("asks /healthz for life and /readyz for readiness, on the admin port", () => everywhere(({ workloads }) => {
    for (const { spec } of workloads) {
      const [container] = spec.template.spec.containers;
      assert.deepEqual(container.livenessProbe.httpGet, { path: "/healthz", port: "admin" });
      assert.deepEqual(container.startupProbe.httpGet, { path: "/healthz", port: "admin" });
      assert.deepEqual(container.readinessProbe.httpGet, { path: "/readyz", port: "admin" });
    }
  }));

  it("leaves time to drain: the grace period is longer than the delay and the push server's drain together", () => everywhere(({ workloads }) => {
    for (const { spec } of workloads) {
      const delay = Number(env({ spec: spec.template.spec }).Public__DrainDelay.split(":")[2]);
      const { readinessProbe } = spec.template.spec.containers[0];
      assert.ok(delay >= readinessProbe.periodSeconds * readinessProbe.failureThreshold, "readiness is seen before the delay ends");
      assert.ok(spec.template.spec.terminationGracePeriodSeconds > delay + 10);
    }
  }));

  it("never shows the admin port outside the cluster", () => everywhere((manifests) => {
    for (const service of manifests.all("Service").filter(({ spec }) => spec.ports.some(({ port }) => port === 8081))) assert.equal(service.spec.clusterIP, "None");
    const routed = [...manifests.all("Ingress").flatMap(({ spec }) => spec.rules.flatMap(({ http }) => http.paths.map(({ backend }) => backend.service.name))),
      ...manifests.all("HTTPRoute").flatMap(({ spec }) => spec.rules.flatMap(({ backendRefs }) => backendRefs.map(({ name }) => name)))];
    for (const name of routed) assert.deepEqual(manifests.one("Service", name).spec.ports.map(({ name: port }) => port), ["http"]);
  }));

  it("gives the embedded store one owner: a StatefulSet of one pod with a claim of its own", () => {
    for (const [name, { workloads }] of Object.entries(rendered).filter(([name]) => !name.startsWith("distributed"))) {
      for (const { kind, spec } of workloads) {
        assert.equal(kind, "StatefulSet", name);
        assert.equal(spec.replicas, 1, name);
        assert.deepEqual(spec.volumeClaimTemplates.map(({ metadata }) => metadata.name), ["data"]);
      }
    }
  });

  it("runs the roles that are switched on, together or apart", () => {
    const roles = (name) => rendered[name].workloads.map(({ spec }) => spec.template.spec.containers[0].args.join(" ")).sort();
    assert.deepEqual(roles("defaults"), ["all"]);
    assert.deepEqual(roles("embedded-apart"), ["blossom", "notify", "relay"]);
    assert.deepEqual(roles("embedded-relay-only"), ["relay"]);
    assert.deepEqual(roles("embedded-notify-only"), ["notify"]);
    assert.deepEqual(roles("distributed"), ["blossom", "notify", "relay"]);
    assert.deepEqual(roles("distributed-two-hosts-ingress"), ["blossom", "relay"]);
  });

  it("keeps nothing of worth in a distributed pod", () => {
    for (const [, { workloads, objects }] of distributed) {
      assert.ok(!objects.some(({ kind }) => kind === "PersistentVolumeClaim" || kind === "StatefulSet"));
      for (const { spec } of workloads) assert.ok(spec.template.spec.volumes.find(({ name }) => name === "data").emptyDir);
    }
  });

  it("names PostgreSQL, Redis and S3 to those who use them, with passwords as files only", () => {
    for (const [name, { pods }] of distributed) {
      for (const pod of pods.filter(({ component }) => component !== "test")) {
        const settings = env(pod);
        assert.match(settings.Storage__Postgres, /;Passfile=\/secrets\/postgres\//, name);
        assert.equal(Boolean(settings.Blossom__S3__Endpoint), pod.component === "blossom", name);
        const mounted = pod.spec.containers[0].volumeMounts.map(({ mountPath }) => mountPath);
        for (const path of Object.values(settings).flatMap((value) => value.match(/\/secrets\/[a-z0-9]+/g) ?? [])) assert.ok(mounted.includes(path), `${name} ${pod.name}: ${path}`);
      }
    }
  });

  it("reads secrets from existing ones and makes none", () => everywhere((manifests) => {
    assert.deepEqual(manifests.all("Secret"), []);
    for (const { spec } of manifests.pods) for (const container of spec.containers) for (const { valueFrom } of container.env ?? []) assert.equal(valueFrom, undefined);
  }));

  it("brings the schema up to date before the pods, in distributed mode only", () => everywhere((manifests, name) => {
    const jobs = manifests.all("Job");
    assert.equal(jobs.length, name.startsWith("distributed") ? 1 : 0, name);
    for (const { metadata } of jobs) assert.equal(metadata.annotations["helm.sh/hook"], "pre-install,pre-upgrade");
  }));

  it("replaces pods without ever having fewer than asked for", () => {
    for (const [, { workloads }] of distributed) for (const { spec } of workloads) assert.deepEqual(spec.strategy.rollingUpdate, { maxUnavailable: 0, maxSurge: 1 });
  });

  it("lets one pod go at a time where there is more than one, and never blocks a drain where there is one", () => everywhere((manifests) => {
    for (const workload of manifests.workloads) {
      const hpa = manifests.all("HorizontalPodAutoscaler").find(({ spec }) => spec.scaleTargetRef.name === workload.metadata.name);
      const several = (hpa?.spec.minReplicas ?? workload.spec.replicas) > 1;
      const budgets = manifests.all("PodDisruptionBudget").filter(({ spec }) => selects(spec.selector.matchLabels, workload.spec.template.metadata.labels));
      assert.equal(budgets.length, several ? 1 : 0, workload.metadata.name);
      for (const { spec } of budgets) assert.equal(spec.maxUnavailable, 1);
    }
  }));

  it("leaves the number of pods to the autoscaler where there is one, which shrinks slowly", () => everywhere((manifests) => {
    for (const { spec } of manifests.all("HorizontalPodAutoscaler")) {
      assert.equal(manifests.one("Deployment", spec.scaleTargetRef.name).spec.replicas, undefined);
      assert.ok(spec.behavior.scaleDown.stabilizationWindowSeconds >= 600);
    }
  }));

  it("scales relays by their connections too where asked, and nothing else", () => everywhere((manifests, name) => {
    for (const { spec } of manifests.all("HorizontalPodAutoscaler")) {
      const metrics = spec.metrics.map(({ resource, pods }) => resource?.name ?? pods.metric.name);
      const wanted = spec.scaleTargetRef.name.endsWith("-relay") && name === "distributed-full";
      assert.deepEqual(metrics, wanted ? ["cpu", "relay_connections"] : ["cpu"]);
      if (wanted) assert.deepEqual(spec.metrics[1].pods.target, { type: "AverageValue", averageValue: "4000" });
    }
  }));

  it("spreads the pods of a role, by that role's own labels", () => {
    for (const { component, spec } of rendered.distributed.pods.filter(({ component }) => ["relay", "blossom", "notify"].includes(component))) {
      assert.deepEqual(spec.topologySpreadConstraints.map(({ topologyKey }) => topologyKey), ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]);
      for (const { labelSelector } of spec.topologySpreadConstraints) assert.equal(labelSelector.matchLabels["app.kubernetes.io/component"], component);
    }
  });

  it("sends / to the relay and every other path to Blossom when they share a host", () => {
    const [{ spec }] = rendered["embedded-apart"].all("Ingress");
    assert.deepEqual(spec.rules[0].http.paths.map(({ path, pathType, backend }) => [path, pathType, backend.service.name]),
      [["/", "Exact", "ci-marmot-server-relay"], ["/", "Prefix", "ci-marmot-server-blossom"]]);
    const [one] = rendered["embedded-full"].all("Ingress");
    assert.deepEqual(one.spec.rules[0].http.paths.map(({ backend }) => backend.service.name), ["ci-marmot-server-all"]);
  });

  it("puts no time limit on WebSockets and uploads that come through a Gateway", () => everywhere((manifests) => {
    for (const { spec } of manifests.all("HTTPRoute")) for (const { timeouts } of spec.rules) assert.deepEqual(timeouts, { request: "0s", backendRequest: "0s" });
  }));

  it("covers every pod with a network policy that names both directions", () => everywhere((manifests, name) => {
    if (name === "distributed-two-hosts-ingress") return; // switched off there
    for (const pod of manifests.pods) {
      const policies = manifests.policyOf(pod);
      assert.equal(policies.length, 1, `${name}: ${pod.name}`);
      assert.deepEqual(policies[0].spec.policyTypes, ["Ingress", "Egress"]);
    }
  }));

  it("has the migration's network policy in place before the job", () => {
    const weight = ({ metadata }) => Number(metadata.annotations["helm.sh/hook-weight"]);
    const { distributed: manifests } = rendered;
    assert.ok(weight(manifests.one("NetworkPolicy", "ci-marmot-server-migrate")) < weight(manifests.one("Job", "ci-marmot-server-migrate")));
  });

  it("lets metrics be read only by those who are named, and the push server be reached by nobody else", () => everywhere((manifests, name) => {
    for (const policy of manifests.all("NetworkPolicy")) {
      for (const { ports, from } of policy.spec.ingress) {
        if (ports.some(({ port }) => port === "admin")) assert.ok(from?.length, `${name}: ${policy.metadata.name}`);
        if (policy.metadata.name.endsWith("-notify")) assert.deepEqual(ports.map(({ port }) => port), ["admin"]);
      }
    }
  }));

  it("lets no pod reach a private address over 443, so that no fetched URL reaches the cluster", () => everywhere((manifests) => {
    for (const { spec } of manifests.all("NetworkPolicy")) {
      for (const { to } of spec.egress.filter(({ ports, to }) => to && ports.some(({ port }) => port === 443))) {
        for (const { ipBlock } of to.filter((peer) => peer.ipBlock)) {
          if (ipBlock.cidr === "0.0.0.0/0") for (const range of ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8"]) assert.ok(ipBlock.except.includes(range));
          else assert.equal(ipBlock.cidr, "2000::/3");
        }
      }
    }
  }));

  it("gives the relay no way out but name service and its stores", () => {
    const policy = rendered["distributed-full"].one("NetworkPolicy", "ci-marmot-server-relay");
    assert.deepEqual(policy.spec.egress.flatMap(({ ports }) => ports.map(({ port }) => port)), [53, 53, 6432, 6379, 4317]);
  });

  it("lets the push server and the test reach the relay when the public port is closed to others", () => {
    const { ingress } = rendered["distributed-full"].one("NetworkPolicy", "ci-marmot-server-relay").spec;
    const peers = ingress.find(({ ports }) => ports.some(({ port }) => port === "http")).from.flatMap(({ podSelector }) => podSelector?.matchLabels["app.kubernetes.io/component"] ?? []);
    assert.deepEqual(peers, ["notify", "test"]);
  });

  it("sends the push server to the release's relay by its inner name, which the relay knows, and announces the public one", () => {
    const settings = env(rendered.distributed.pods.find(({ component }) => component === "notify"));
    assert.equal(settings.Notify__Relays__0, "ws://ci-marmot-server-relay:80/");
    assert.equal(settings.Notify__AnnounceRelays__0, "wss://relay.example.org");
    assert.equal(env(rendered.distributed.pods.find(({ component }) => component === "relay")).Public__InnerNames, "ci-marmot-server-relay");
  });

  it("monitors every workload by its admin Service", () => {
    const manifests = rendered["distributed-full"];
    const [{ spec }] = manifests.all("ServiceMonitor");
    const services = manifests.all("Service").filter(({ metadata }) => selects(spec.selector.matchLabels, metadata.labels));
    assert.deepEqual(services.map(({ metadata }) => metadata.name).sort(), ["blossom", "notify", "relay"].map((role) => `ci-marmot-server-${role}-admin`));
  });

  it("tests itself with the program's own doctor", () => {
    const [doctor] = rendered.distributed.pods.filter(({ component }) => component === "test");
    assert.equal(doctor.owner.metadata.annotations["helm.sh/hook"], "test");
    assert.deepEqual(doctor.spec.containers[0].args, ["doctor", "--relay", "ws://ci-marmot-server-relay:80/", "--blossom", "http://ci-marmot-server-blossom:80/"]);
  });

  it("leaves user and group to the platform on request", () => {
    for (const { spec } of rendered.openshift.pods) {
      assert.equal(spec.securityContext.runAsNonRoot, true);
      for (const key of ["runAsUser", "runAsGroup", "fsGroup"]) assert.equal(spec.securityContext[key], undefined);
    }
  });

  it("sets only settings that the program has: `config check` takes the environment of every pod", async () => {
    await Promise.all(Object.entries(rendered).flatMap(([name, { pods }]) => pods.filter(({ component }) => !["test", "migrate"].includes(component)).map(async (pod) => {
      // Files of the user's Secrets are not there: what names one is left out, and its key is checked by a made-up value.
      const settings = Object.entries(env(pod)).filter(([, value]) => !value.startsWith("/secrets/"));
      const named = Object.entries(env(pod)).filter(([, value]) => value.startsWith("/secrets/")).map(([key]) => `${key}=/etc/hostname`);
      const { status, text } = await run("docker", ["run", "--rm", "--network", "none", ...[...settings.map(([key, value]) => `${key}=${value}`), ...named].flatMap((setting) => ["-e", setting]),
        image, "config", "check", ...(env(pod).Notify__Relays__0 ? [] : ["--Notify:Relays:0=wss://relay.example.org"])], { status: true });
      assert.equal(status, 0, `${name} ${pod.name}: ${text}`);
    })));
  });
});
