// Renders the chart and finds things in what came out.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { root, run } from "./docker.mjs";

export const chart = join(root, "helm", "marmot-server");
export const cases = readdirSync(join(chart, "ci")).sort().map((file) => ({ name: file.replace(".yaml", ""), file: join(chart, "ci", file) }));
const helm3 = join(root, ".tools", "bin", "3", "helm");
export const helms = process.env.MARMOT_TOOLS ? { "Helm 4": "helm", "Helm 3": helm3 } : { Helm: "helm" };

export const template = (file, { helm = "helm", args = [] } = {}) => run(helm, ["template", "ci", chart, "-n", "ci", "--kube-version", "1.30", "-f", file, ...args]);

export class Manifests {
  static async of(file, options) {
    const text = await template(file, options);
    return new Manifests(parseAllDocuments(text).map((document) => document.toJS()).filter(Boolean));
  }

  constructor(objects) {
    this.objects = objects;
  }

  all(kind) {
    return this.objects.filter((object) => object.kind === kind);
  }

  one(kind, name) {
    return this.objects.find((object) => object.kind === kind && object.metadata.name === name);
  }

  get workloads() {
    return this.objects.filter(({ kind }) => kind === "StatefulSet" || kind === "Deployment");
  }

  /** Every pod there is, as {name, component, labels, spec}: workloads, hook jobs, tests. */
  get pods() {
    return this.objects.flatMap((object) => {
      const pod = object.kind === "Pod" ? object : object.spec?.template;
      return pod?.spec?.containers ? [{ owner: object, name: object.metadata.name, component: pod.metadata.labels["app.kubernetes.io/component"], labels: pod.metadata.labels, spec: pod.spec }] : [];
    });
  }

  policyOf(pod) {
    return this.all("NetworkPolicy").filter(({ spec }) => selects(spec.podSelector.matchLabels, pod.labels));
  }
}

export const selects = (selector, labels) => Object.entries(selector).every(([key, value]) => labels[key] === value);
export const env = (pod) => Object.fromEntries(pod.spec.containers[0].env.map(({ name, value }) => [name, value]));
