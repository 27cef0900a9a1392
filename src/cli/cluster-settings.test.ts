// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseManifest } from "#k8s/manifest.ts";
import { clusterSettings } from "./cluster-settings.ts";

const directory = mkdtempSync(join(tmpdir(), "weft-settings-"));
after(() => rmSync(directory, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const agents = "policy: { enforcement: always, audit: true }\nhostFirewall: { enabled: true }\n";
const indented = (by: string) => agents.replace(/^(?=.)/gm, by);
const configMap = `apiVersion: v1
kind: ConfigMap
metadata: { name: weft-config, namespace: kube-system }
data:
  agent.yaml: |
${indented("    ")}`;

const forms = {
  "the agent's own file": agents,
  "values of the chart": `image: { tag: x }\nconfig:\n${indented("  ")}`,
  "the chart's ConfigMap": `apiVersion: v1\nkind: Service\nmetadata: { name: other }\n---\n${configMap}`,
};
for (const [name, text] of Object.entries(forms)) {
  test(`settings are read from ${name}`, () => {
    const { enforcement, audit, hostFirewall } = clusterSettings({ config: file("config.yaml", text) }, []);
    assert.deepEqual([enforcement, audit, hostFirewall?.apiServerPorts], ["always", true, [443, 6443]]);
  });
}

test("a ConfigMap among the manifests is heard, a file instead of it, options before both", () => {
  const objects = parseManifest("all.yaml", configMap).map(({ object }) => object);
  assert.equal(clusterSettings({}, objects).enforcement, "always");
  const config = file("never.yaml", "policy: { enforcement: never }\n");
  assert.equal(clusterSettings({ config }, objects).enforcement, "never");
  assert.equal(clusterSettings({ config, enforcement: "default" }, objects).enforcement, "default");
  assert.ok(clusterSettings({ config, hostFirewall: true }, []).hostFirewall);
  assert.deepEqual(clusterSettings({}, []), {});
});

test("what the chart renders is read as it is", () => {
  const golden = join(import.meta.dirname, "../../charts/weft/golden/many-values.yaml");
  const objects = parseManifest(golden, readFileSync(golden, "utf8")).map(({ object }) => object);
  assert.equal(clusterSettings({ config: golden }, []).clusterName, clusterSettings({}, objects).clusterName);
});

test("what is wrong is named with file and setting", () => {
  const wrong = file("wrong.yaml", "policy: { enforcement: sometimes }\n");
  assert.throws(() => clusterSettings({ config: wrong }, []), { code: "E_CONFIG", message: /enforcement/ });
  const other = file("other.yaml", "apiVersion: v1\nkind: Pod\nmetadata: { name: a }\n");
  assert.throws(() => clusterSettings({ config: other }, []), { code: "E_CONFIG", message: /weft-config/ });
  assert.throws(() => clusterSettings({ enforcement: "sometimes" }, []), { code: "E_USAGE" });
});
