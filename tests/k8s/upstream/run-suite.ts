// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { WeftError } from "#lib/errors.ts";
import { type Cluster, clusterEnv } from "../cluster/cluster.ts";
import { inNamespace } from "../cluster/network.ts";
import { IMAGE_PREFIX } from "../cluster/shape.ts";
import { parseJunit, type SpecResult, selectCases } from "./junit.ts";
import { type Suite, skipPattern, skipReason, suiteOf } from "./suites.ts";

export interface SuiteRun {
  /** Results go there: `NAME.junit.xml`, `NAME.log`. */
  readonly dir: string;
  /** Only specs that match, by name. */
  readonly focus?: string;
  /** Specs that run at once. */
  readonly procs: number;
}

const PROGRESS_STEP = 5;
/** Until ginkgo gives up. */
const TIMEOUT_MIN = 90;

/**
 * Runs suites of the upstream tests against a cluster, all their specs in one go, and tells of progress and failures.
 * @returns what became of each spec, those skipped by name too
 * @throws WeftError E_SUITE when it ended without results
 */
export async function runSuites(
  cluster: Cluster,
  chosen: readonly Suite[],
  run: SuiteRun,
): Promise<ReadonlyMap<Suite, readonly SpecResult[]>> {
  const name = chosen.map((suite) => suite.name).join("+");
  const work = join(run.dir, name);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const log = join(run.dir, `${name}.log`);
  const argv = inNamespace(cluster.layout.netns, ginkgo(cluster, chosen, run, work));
  const env = { ...process.env, ...clusterEnv(cluster), KUBE_TEST_REPO_LIST: writeImageNames(work) };
  const child = spawn(argv[0]!, argv.slice(1), { cwd: work, env, stdio: ["ignore", "pipe", "pipe"] });
  const out = createWriteStream(log);
  for (const stream of [child.stdout, child.stderr]) stream.pipe(out, { end: false });
  showProgress(child.stdout);
  await once(child, "close");
  out.end();
  const report = join(work, "junit_01.xml");
  if (!existsSync(report))
    throw new WeftError("E_SUITE", `${name} ended without results`, { hint: `see ${log}` });
  const xml = readFileSync(report, "utf8");
  rmSync(work, { recursive: true });
  return new Map(chosen.map((suite) => [suite, keepResults(xml, suite, run.dir)]));
}

/** A hook that failed belongs to no spec: every suite of the run has it. */
const belongs = ({ name, status }: Pick<SpecResult, "name" | "status">, suite: Suite) =>
  suiteOf(name) === suite || (status === "failed" && !name.startsWith("[sig-"));

function keepResults(xml: string, suite: Suite, dir: string): readonly SpecResult[] {
  const names = new Set(suiteResults(xml, suite).map(({ name }) => name));
  writeFileSync(
    join(dir, `${suite.name}.junit.xml`),
    selectCases(xml, suite.name, (name) => names.has(name)),
  );
  return suiteResults(xml, suite);
}

/** What became of the specs of a suite, by a JUnit file that has them among others. */
export function suiteResults(xml: string, suite: Suite): SpecResult[] {
  return parseJunit(xml)
    .filter((result) => belongs(result, suite))
    .map((result) => ({ ...result, message: skipReason(result.name) ?? result.message }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function ginkgo(cluster: Cluster, chosen: readonly Suite[], run: SuiteRun, work: string): string[] {
  const program = (name: string) => join(cluster.bin, name);
  return [
    program("ginkgo"),
    `--procs=${run.procs}`,
    ...(run.focus ? [run.focus] : chosen.map(({ focus }) => focus)).map((focus) => `--focus=${focus}`),
    `--skip=${skipPattern(chosen)}`,
    "--no-color",
    "--silence-skips",
    `--timeout=${TIMEOUT_MIN}m`,
    program("e2e.test"),
    "--",
    `--kubeconfig=${cluster.layout.kubeconfig}`,
    `--kubectl-path=${program("kubectl")}`,
    "--provider=skeleton",
    `--num-nodes=${cluster.nodes.length}`,
    `--report-dir=${work}`,
    "--disable-log-dump",
    "--allowed-not-ready-nodes=0",
    "--system-pods-startup-timeout=0s",
  ];
}

/** The tests look for their images in many registries: here all of them are ours. */
function writeImageNames(dir: string): string {
  const registries = ["promoterE2e", "buildImage", "gc", "gcEtcd", "dockerLibrary", "sigStorage"];
  const file = join(dir, "registries.yaml");
  writeFileSync(file, registries.map((name) => `${name}Registry: ${IMAGE_PREFIX}\n`).join(""));
  return file;
}

/** Out of ginkgo's output: how far it is, and each failure as it comes. */
function showProgress(output: Readable): void {
  let [total, done, shown] = [0, 0, 0];
  createInterface({ input: output }).on("line", (line) => {
    total ||= Number(/Will run (\d+) of/.exec(line)?.[1] ?? 0);
    const failed = /^\s*\[(?:FAIL|TIMEDOUT|PANICKED!|INTERRUPTED)\] (\[sig-.*)$/.exec(line);
    if (failed) console.log(`    ✗ ${failed[1]}`);
  });
  output.on("data", (chunk: Buffer) => {
    done += chunk.toString().split("•").length - 1;
    if (done < shown + PROGRESS_STEP) return;
    shown = done;
    console.log(`    ${done} of ${total}`);
  });
}
