// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { Command } from "commander";
import { type SettingsArguments, withSettings } from "#cli/cluster-settings.ts";
import { liveCluster } from "#cli/live-objects.ts";
import { questionOf } from "#cli/measure.ts";
import { collect, fileCluster, refusals } from "#cli/offline-cluster.ts";
import { explanationText } from "#cli/print/explain.ts";
import { type CaseResult, junitText, tapText } from "#cli/print/policy-test.ts";
import { labProbe } from "#lab/probe.ts";
import type { ProbeRow } from "#lab/probe-attempt.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import type { Question } from "#model/questions.ts";
import type { OfflineCluster } from "#policy/offline/cluster.ts";
import { explain } from "#policy/offline/explain.ts";
import type { Truth } from "#policy/offline/matrix.ts";
import { type AskedCase, askCases, unexpected } from "#policy/offline/run-tests.ts";
import { type PolicyTestFile, parseTestFile } from "#policy/offline/test-file.ts";

const manual = `
A test file:
  manifests: [k8s/]                # files and directories, relative to the test file; -f adds to them
  namespace: shop                  # of names without one
  config: values.yaml              # how the agents are set, if not as usual; see --config
  tests:
    - from front to cart on 80/TCP: allow
    - from world to data/database on 5432/TCP: deny
    - name: only the cart and the catalogue reach the database
      from: [front, customers/client]
      to: data/database
      port: [5432/TCP, ICMP]
      expect: deny

Who is meant by from and to is told by \`weft explain --help\`.

Examples:
  weft policy test reachability.yaml                      by the manifests it names: no cluster, no root
  weft policy test -f k8s/ reachability.yaml              by these manifests
  weft policy test --lab reachability.yaml                real connections in the running lab
  weft policy test --junit report.xml tests/*.yaml        also for CI

The exit code is 1 when a case fails, or a policy would be refused.
`;

interface TestArguments extends SettingsArguments {
  readonly filename?: readonly string[];
  readonly lab?: boolean;
  readonly junit?: string;
}

export function testCommand(): Command {
  const command = new Command("test")
    .description("hold policies against what is expected of them: offline in milliseconds, or in the lab")
    .argument("<file...>", "test files: see below")
    .option("-f, --filename <path>", "manifests, beside those that the test files name (repeatable)", collect)
    .option("--lab", "make the connections in the running lab")
    .option("--junit <file>", "also write a JUnit report");
  return withSettings(command).addHelpText("after", manual).action(runTest);
}

async function runTest(files: readonly string[], args: TestArguments): Promise<void> {
  const results: CaseResult[] = [];
  const refused = new Set<string>();
  for (const path of files) {
    const file = parseTestFile(readText(path), path);
    const cluster = args.lab
      ? await liveCluster({}, AbortSignal.timeout(30_000))
      : manifestCluster(file, args);
    for (const line of refusals(cluster)) if (line.includes("not in force")) refused.add(line);
    results.push(...(args.lab ? await measured(cluster, file) : worked(cluster, file)));
  }
  for (const line of refused) process.stderr.write(`weft: ${line}\n`);
  process.stdout.write(tapText(results));
  if (args.junit !== undefined) writeReport(args.junit, junitText(results));
  if (refused.size > 0 || results.some(({ outcome }) => outcome === "not ok")) process.exitCode = 1;
}

function readText(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (cause) {
    throw new WeftError("E_USAGE", `cannot read ${path}: ${errorText(cause)}`, { cause });
  }
}

function writeReport(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (cause) {
    throw new WeftError("E_USAGE", `cannot write ${path}: ${errorText(cause)}`, { cause });
  }
}

function manifestCluster(file: PolicyTestFile, args: TestArguments): OfflineCluster {
  const besideIt = (path: string) => join(dirname(file.file), path);
  const paths = [...file.manifests.map(besideIt), ...(args.filename ?? [])];
  if (paths.length === 0)
    throw new WeftError("E_USAGE", `${file.file} names no manifests`, {
      hint: "name them with -f, or under `manifests:`",
    });
  const config = args.config ?? (file.config === undefined ? undefined : besideIt(file.config));
  return fileCluster(paths, { ...args, namespace: file.namespace, ...(config !== undefined && { config }) });
}

/** By the engine alone. */
function worked(cluster: OfflineCluster, file: PolicyTestFile): CaseResult[] {
  let last = performance.now();
  return askCases(cluster, file).map((asked) => {
    const ms = performance.now() - last;
    last = performance.now();
    const wrong = unexpected(asked);
    const details = asked.error === undefined ? wrong.flatMap((one) => why(asked, one)) : [asked.error];
    return { ...headOf(asked, file), outcome: details.length > 0 ? "not ok" : "ok", details, ms };
  });
}

function headOf({ case: { name, line } }: AskedCase, { file }: PolicyTestFile) {
  return { file, line, name };
}

function why({ judge, case: { expect, port } }: AskedCase, { from, to, answer }: Truth): string[] {
  const said = explain(judge, { from, to, port }, answer);
  const text = stripVTControlCharacters(explanationText(said)).trimEnd().split("\n");
  const is = answer.mixed
    ? "depends on the backend"
    : `is ${answer.verdict === "allow" ? "allowed" : "denied"}`;
  return [`expected ${expect}, but ${said.from} → ${said.to} ${said.port} ${is}`, ...text.slice(1)];
}

/** By connections; the reason of a failure is the engine's. */
async function measured(cluster: OfflineCluster, file: PolicyTestFile): Promise<CaseResult[]> {
  const cases = askCases(cluster, file);
  const questions: Question[] = [];
  const places = cases.map(({ truths }) =>
    truths.map((truth) => {
      const question = questionOf(truth);
      return question ? questions.push(question) - 1 : undefined;
    }),
  );
  const rows = questions.length === 0 ? [] : await labProbe({ questions });
  return cases.map((asked, i) => measuredCase(asked, file, { rows, places: places[i]! }));
}

function measuredCase(
  asked: AskedCase,
  file: PolicyTestFile,
  { rows, places }: { readonly rows: readonly ProbeRow[]; readonly places: readonly (number | undefined)[] },
): CaseResult {
  const head = headOf(asked, file);
  if (asked.error !== undefined) return { ...head, outcome: "not ok", details: [asked.error], ms: 0 };
  const { expect } = asked.case;
  const done = places.flatMap((place) => (place === undefined ? [] : [rows[place]!]));
  const ms = done.reduce((sum, row) => sum + row.ms, 0);
  if (done.length === 0)
    return {
      ...head,
      outcome: "skipped",
      details: ["the lab cannot be asked that: only its pods and nodes connect"],
      ms,
    };
  const details = asked.truths.flatMap((truth, i) => {
    const place = places[i];
    const verdict = place === undefined ? undefined : rows[place]!.verdict;
    if (verdict === undefined || verdict === expect) return [];
    const [first, ...rest] = why(asked, truth);
    return truth.answer.verdict === verdict
      ? [`measured: ${first}`, ...rest]
      : [
          `measured: expected ${expect}, but is ${verdict}; the policies say ${truth.answer.verdict}`,
          ...rest,
        ];
  });
  return { ...head, outcome: details.length > 0 ? "not ok" : "ok", details, ms };
}
