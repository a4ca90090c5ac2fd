// The table of values in the chart's README, made from the comments of values.yaml. Run it to write the table anew.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMap, parseDocument } from "yaml";

export function valuesTable(text) {
  const rows = [];
  (function walk(map, path) {
    for (const pair of map.items) {
      const name = [...path, pair.key.value].join(".");
      // The first key of a map carries its comment on the map itself.
      const comment = [pair.key.commentBefore, map.items[0] === pair ? map.commentBefore : undefined].filter(Boolean).join("\n");
      const description = /(?:^|\n) ?-- (.*)/.exec(comment)?.[1];
      if (description) rows.push(`| \`${name}\` | \`${JSON.stringify(pair.value.toJSON())}\` | ${description} |`);
      else if (isMap(pair.value)) walk(pair.value, [...path, pair.key.value]);
      else throw new Error(`${name} is not documented`);
    }
  })(parseDocument(text).contents, []);
  return ["| value | default | meaning |", "|---|---|---|", ...rows].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const chart = join(fileURLToPath(import.meta.url), "..", "..", "..", "..", "helm", "marmot-server");
  const readme = readFileSync(join(chart, "README.md"), "utf8");
  const table = valuesTable(readFileSync(join(chart, "values.yaml"), "utf8"));
  writeFileSync(join(chart, "README.md"), readme.replace(/<!-- values -->[\s\S]*<!-- end -->/, () => `<!-- values -->\n${table}\n<!-- end -->`));
}
