// SPDX-License-Identifier: Apache-2.0
// npm run test:kubernetes: a real cluster whose network is Weft, our tests on it, then Kubernetes' own. `--help` lists the options.
import { globSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { run } from "node:test";
import { junit, spec } from "node:test/reporters";
import { parseArgs } from "node:util";
import { errorText, WeftError } from "#lib/errors.ts";
import { buildArtifacts } from "./build/build.ts";
import { type Cluster, downCluster, openCluster } from "./cluster/cluster.ts";
import { collectLogs } from "./cluster/collect.ts";
import { buildImage, upWithWeft } from "./cluster/weft.ts";
import { type Part, parts } from "./parts.ts";
import { showStep } from "./progress.ts";
import { runSuites } from "./upstream/run-suite.ts";
import { clusterText, type TestCluster, testClusters } from "./upstream/suites.ts";

const { values } = parseArgs({
  options: {
    part: { type: "string", multiple: true },
    name: { type: "string", default: "test" },
    keep: { type: "boolean", default: false },
    focus: { type: "string" },
    procs: { type: "string", default: "4" },
    results: { type: "string", default: "build/kubernetes" },
    helm: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});

const usage = `usage: npm run test:kubernetes -- [OPTION...]
  --part PART     only this part; may be repeated
${parts.map(({ name, about }) => `                    ${name.padEnd(12)} ${about}`).join("\n")}
  --focus REGEX   of an upstream part only the specs that match, by name
  --procs N       upstream specs at once (4)
  --keep          leave the cluster running (\`main.ts down --name ${values.name}\` takes it down)
  --name NAME     of the cluster
  --helm          install with helm instead of \`weft install\`
  --results DIR   JUnit files and logs (build/kubernetes)`;

/** A cluster that runs already is used as it is and left running. */
const given = process.env["WEFT_KUBERNETES_CLUSTER"];
const sums = { passed: 0, failed: 0, skipped: 0 };
const count = (status: keyof typeof sums) => sums[status]++;

if (values.help) console.log(usage);
else process.exitCode = await main().catch(fail);

async function main(): Promise<number> {
  const chosen = choose();
  values.results = resolve(values.results);
  mkdirSync(values.results, { recursive: true });
  console.log("==> build");
  await buildArtifacts();
  await buildImage();
  for (const part of chosen.filter(({ alone }) => alone)) await runPart(part);
  for (const shape of Object.values(testClusters)) {
    const group = chosen.filter((part) => !part.alone && (part.suite?.cluster ?? testClusters.v4) === shape);
    if (group.length > 0) await runGroup(group, shape);
  }
  console.log(`\n${sums.passed} passed, ${sums.failed} failed, ${sums.skipped} skipped`);
  return sums.failed > 0 || sums.passed === 0 ? 1 : 0;
}

function choose(): readonly Part[] {
  const wanted = values.part ?? parts.filter(({ usual }) => usual).map(({ name }) => name);
  const unknown = wanted.filter((name) => !parts.some((part) => part.name === name));
  if (unknown.length > 0) {
    const hint = `there are: ${parts.map(({ name }) => name).join(" ")}`;
    throw new WeftError("E_USAGE", `no such part: ${unknown.join(" ")}`, { hint });
  }
  return parts.filter(({ name }) => wanted.includes(name));
}

/** Parts that can share a cluster: ours one after the other, then the upstream suites, all their specs in one go. */
async function runGroup(group: readonly Part[], shape: TestCluster): Promise<void> {
  const cluster = given ? openCluster(given) : await start(shape);
  if (cluster.options.families !== shape.families || cluster.nodes.length < shape.nodes) {
    throw new WeftError("E_USAGE", `cluster ${given} is no cluster of ${clusterText(shape)}`);
  }
  process.env["WEFT_KUBERNETES_CLUSTER"] = cluster.options.name;
  const upstream = group.filter(({ suite }) => suite !== undefined);
  try {
    for (const part of group) if (!part.suite) await runPart(part, cluster);
    if (upstream.length > 0) {
      const name = upstream.map((part) => part.name).join("+");
      await timed({ name, about: "Kubernetes' own specs" }, () => runUpstream(cluster, upstream), cluster);
    }
  } finally {
    if (given || values.keep) console.log(`\ncluster ${cluster.options.name} is left running`);
    else await downCluster(cluster.options.name);
  }
}

function start(shape: TestCluster): Promise<Cluster> {
  console.log(`\n==> ${values.name}: ${clusterText(shape)}, no kube-proxy`);
  return upWithWeft({ name: values.name, ...shape, helm: values.helm }, showStep);
}

function runPart(part: Part, cluster?: Cluster): Promise<void> {
  return timed(part, () => runOwn(part), cluster);
}

/** Whatever happens in one part, the next one runs. */
async function timed(
  part: { readonly name: string; readonly about: string },
  work: () => Promise<void>,
  cluster?: Cluster,
): Promise<void> {
  const failedBefore = sums.failed;
  const startMs = performance.now();
  console.log(`\n==> ${part.name}: ${part.about}`);
  try {
    await work();
  } catch (error) {
    count("failed");
    fail(error);
  }
  console.log(`    ${((performance.now() - startMs) / 60_000).toFixed(1)} min`);
  if (cluster && sums.failed > failedBefore) {
    await collectLogs(cluster, join(values.results, `${part.name}-logs`));
  }
}

async function runUpstream(cluster: Cluster, upstream: readonly Part[]): Promise<void> {
  const { focus } = values;
  const chosen = upstream.flatMap(({ suite }) => suite ?? []);
  const results = await runSuites(cluster, chosen, {
    dir: values.results,
    procs: Number(values.procs),
    ...(focus ? { focus } : {}),
  });
  for (const [suite, all] of results) {
    const ran = all.filter(({ name }) => !focus || new RegExp(focus).test(name));
    for (const { status } of ran) count(status);
    const of = (status: string) => ran.filter((result) => result.status === status).length;
    console.log(
      `    ${suite.name}: ${of("passed")} passed, ${of("failed")} failed, ${of("skipped")} skipped`,
    );
  }
}

function runOwn(part: Part): Promise<void> {
  const files = globSync([...part.files!]).sort();
  const { promise, resolve } = Promise.withResolvers<void>();
  if (files.length === 0) return Promise.resolve();
  const stream = run({ files, concurrency: 1, timeout: part.timeoutMs ?? 900_000 });
  stream.on("test:pass", (event) => {
    if (event.skip !== undefined && event.skip !== false) count("skipped");
    else if (event.details.type !== "suite") count("passed");
  });
  stream.on("test:fail", (event) => {
    if (event.details.type !== "suite") count("failed");
  });
  stream.once("end", resolve);
  stream.compose(spec()).pipe(process.stdout, { end: false });
  const report = join(values.results, `${part.name}.junit.xml`);
  writeFileSync(report, "");
  void (async () => {
    for await (const text of stream.compose(junit)) writeFileSync(report, String(text), { flag: "a" });
  })();
  return promise;
}

function fail(error: unknown): number {
  console.error(`\ntest:kubernetes: ${errorText(error)}`);
  if (error instanceof WeftError && error.hint) console.error(`  ${error.hint}`);
  return 1;
}
