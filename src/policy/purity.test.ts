// SPDX-License-Identifier: Apache-2.0
// The policy engine runs anywhere: all of this room but what speaks to Kubernetes and the kernel is bundled for a browser and run in a context
// that has nothing of Node.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createContext, runInContext } from "node:vm";
import { build } from "esbuild";

/** They follow the API server, write its statuses, and write the kernel's maps. */
const impure = new Set(["source.ts", "status.ts", "tell-condition.ts", "tell-node-status.ts", "ops.ts"]);
const root = join(import.meta.dirname, "../..");
const modules = globSync("**/*.ts", { cwd: import.meta.dirname })
  .filter((file) => !file.endsWith(".test.ts") && !impure.has(file))
  .sort();

async function bundled(contents: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: "ts" },
    absWorkingDir: root,
    bundle: true,
    write: false,
    platform: "browser",
    format: "iife",
    globalName: "policy",
    logLevel: "silent",
  });
  return outputFiles[0]!.text;
}

test("no module but those that touch Kubernetes or the kernel needs anything of Node, not even by its imports", async () => {
  for (const file of modules) await bundled(`export * from "./${file}";`);
});

test("the engine answers in a context without Node: manifest in, entries out", async () => {
  const code = await bundled(`
    import { languageOf, compileRow } from "./languages.ts";
    import { PolicyEngine } from "./engine.ts";
    import { verdict } from "./verdict.ts";
    export function ask(object, identities, question) {
      const engine = new PolicyEngine("default");
      for (const { id, labels } of identities) engine.setIdentity({ id, labels: new Map(labels) });
      engine.setPolicy("one", compileRow(languageOf(object), object).rules);
      engine.setEndpoint({ id: 1, labels: new Map(identities[0].labels), namedPorts: [] });
      return verdict(engine.flush().policies[0], question).verdict;
    }`);
  const context = createContext({ URL, TextEncoder, TextDecoder });
  runInContext(code, context);
  const object = {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "web", namespace: "shop" },
    spec: {
      podSelector: { matchLabels: { app: "web" } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: "front" } } }], ports: [{ port: 80 }] }],
    },
  };
  const labels = (app: string) => [
    ["k8s:app", app],
    ["k8s:io.kubernetes.pod.namespace", "shop"],
  ];
  const identities = [
    { id: 1000, labels: labels("web") },
    { id: 1001, labels: labels("front") },
  ];
  const ask = (identity: number, port: number) => {
    const question = { direction: "ingress", identity, proto: 6, port };
    return runInContext(
      `policy.ask(${JSON.stringify(object)}, ${JSON.stringify(identities)}, ${JSON.stringify(question)})`,
      context,
    );
  };
  assert.equal(ask(1001, 80), "allow");
  assert.equal(ask(1001, 81), "deny");
  assert.equal(ask(1000, 80), "deny");
});

test("the example of docs/policy-engine.md runs there too", async () => {
  const text = readFileSync(join(root, "docs/policy-engine.md"), "utf8");
  const [, example] = /^```ts\n([\s\S]*?)^```$/m.exec(text)!;
  const context = createContext({ URL, TextEncoder, TextDecoder, structuredClone });
  runInContext(await bundled(example!), context);
  const pod = (name: string) =>
    `apiVersion: v1\nkind: Pod\nmetadata: { name: ${name}, labels: { app: ${name} } }\nspec: {}\n---\n`;
  const policy =
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: b }\nspec: { podSelector: { matchLabels: { app: b } } }\n";
  const yaml = JSON.stringify(pod("a") + pod("b") + policy);
  const told = JSON.parse(
    runInContext(`JSON.stringify(policy.why(${yaml}, "a", "b", "80/TCP"))`, context) as string,
  ) as { verdict: string; paths: { ingress: { text: string } }[]; change: { yaml: string }[] };
  assert.equal(told.verdict, "deny");
  assert.match(told.paths[0]!.ingress.text, /isolated by NetworkPolicy default\/b \(all\.yaml:11\)/);
  assert.match(told.change[0]!.yaml, /kind: NetworkPolicy/);
});
