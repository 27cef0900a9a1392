// SPDX-License-Identifier: Apache-2.0
// Runs the tests by part, with progress, and ends with one line of sums. `run-tests.ts [PART...]`: check unit kernel packet lab, and
// image, which needs containerd and runc, and lab-long, what takes too long for every time.
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { mountBpffs } from "#kernel/mounts.ts";
import { sweepLeftovers } from "#kit/leftovers.ts";

interface Part {
  readonly name: string;
  readonly files: () => string[];
  readonly root: boolean;
  /** Only when asked for by name. */
  readonly apart?: boolean;
  readonly concurrency: number;
  /** Files that run after the others, one at a time. */
  readonly alone?: RegExp;
  readonly timeoutMs: number;
}

/** Those that need more than this process: root, or a real cluster (`npm run test:kubernetes`). */
const kernel = (file: string) => file.includes(".kernel.test.") || file.includes(".k8s.test.");
const parts: readonly Part[] = [
  {
    name: "unit",
    files: () =>
      globSync([
        "src/**/*.test.ts",
        "api/**/*.test.ts",
        "tools/**/*.test.ts",
        "tests/{stories,unit,kit,docs,contract,policy}/**/*.test.ts",
        "tests/bench/**/*.test.ts",
        "tests/k8s/{build,cluster,load,upstream}/**/*.test.ts",
      ]).filter((f) => !kernel(f)),
    root: false,
    concurrency: 2,
    timeoutMs: 120_000,
  },
  {
    name: "kernel",
    files: () => globSync(["src/**/*.kernel.test.ts", "tests/kit/**/*.kernel.test.ts"]),
    root: true,
    concurrency: 1,
    timeoutMs: 180_000,
  },
  {
    name: "packet",
    files: () => globSync(["tests/packet/**/*.test.ts", "tests/policy/**/*.kernel.test.ts"]),
    root: true,
    concurrency: 1,
    timeoutMs: 240_000,
  },
  {
    name: "lab",
    files: () => globSync("tests/lab/**/*.test.ts"),
    root: true,
    // Each file has a lab of its own, and much of its time is waiting for what must not answer.
    concurrency: Math.min(2, availableParallelism()),
    // They count what is lost while agents and pods go, or measure: what is beside them would decide.
    alone: /\/(bench|kubectl|restart|services-local)\.test\.ts$/,
    timeoutMs: 300_000,
  },
  {
    name: "lab-long",
    files: () => globSync("tests/lab-long/**/*.test.ts"),
    root: true,
    apart: true,
    concurrency: 1,
    timeoutMs: 300_000,
  },
  {
    name: "image",
    files: () => globSync("tests/image/**/*.test.ts"),
    root: true,
    apart: true,
    concurrency: 1,
    timeoutMs: 300_000,
  },
];

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => name !== "check" && !parts.some((part) => part.name === name));
if (unknown.length > 0) {
  console.error(
    `no such part: ${unknown.join(" ")} (there are: check ${parts.map((part) => part.name).join(" ")})`,
  );
  process.exit(2);
}
const chosen = (name: string, apart = false) => (wanted.length === 0 && !apart) || wanted.includes(name);
const isRoot = process.getuid?.() === 0;
// Every file is a process that reads hundreds of modules: compiled once, they take half the time.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, "../node_modules/.cache/compiled");
console.log(`property tests: seed ${process.env["WEFT_SEED"] ?? "1"} (WEFT_SEED)`);
const sums = { passed: 0, failed: 0, skipped: 0 };

if (chosen("check")) {
  console.log("\n==> check");
  if (spawnSync("sh", ["tools/check.sh"], { stdio: "inherit" }).status !== 0) sums.failed++;
  else sums.passed++;
}
for (const part of parts) {
  if (!chosen(part.name, part.apart)) continue;
  const files = part.files().sort();
  console.log(`\n==> ${part.name}: ${files.length} files`);
  if (part.root && !isRoot) {
    console.log(
      `    skipped: needs root (network namespaces, BPF); run \`sudo sh tools/test.sh ${part.name}\``,
    );
    sums.skipped += files.length;
    continue;
  }
  if (part.root) {
    // Two labs that come up at once would each mount it, and the second hides the first's pins.
    mountBpffs();
    const swept = await sweepLeftovers();
    if (swept.length > 0) console.log(`    taken away, of runs that were killed: ${swept.join(" ")}`);
  }
  if (files.length > 0) await runPart(part, files);
}
console.log(`\n${sums.passed} passed, ${sums.failed} failed, ${sums.skipped} skipped`);
process.exit(sums.failed > 0 || sums.passed === 0 ? 1 : 0);

async function runPart(part: Part, files: readonly string[]): Promise<void> {
  const beganMs = performance.now();
  const tookMs = new Map<string, number>();
  const isAlone = (file: string) => part.alone?.test(file) === true;
  const together = files.filter((file) => !isAlone(file));
  for (const [some, concurrency] of [
    [together, part.concurrency],
    [files.filter(isAlone), 1],
  ] as const)
    if (some.length > 0) await runFiles(some, { concurrency, timeoutMs: part.timeoutMs, tookMs });
  console.log(`    ${part.name}: ${seconds(performance.now() - beganMs)}; longest: ${longest(tookMs)}`);
}

function runFiles(
  files: readonly string[],
  how: { readonly concurrency: number; readonly timeoutMs: number; readonly tookMs: Map<string, number> },
): Promise<void> {
  const { concurrency, timeoutMs, tookMs } = how;
  return new Promise((resolve) => {
    const stream = run({ files: [...files], concurrency, timeout: timeoutMs });
    stream.on("test:complete", ({ nesting, file, details }) => {
      if (nesting === 0 && file) tookMs.set(file, (tookMs.get(file) ?? 0) + details.duration_ms);
    });
    stream.on("test:pass", (event) => {
      if (event.skip !== undefined && event.skip !== false) sums.skipped++;
      else if (event.details.type !== "suite") sums.passed++;
    });
    stream.on("test:fail", (event) => {
      if (event.details.type === "suite") return;
      // A test marked as known not to pass yet says why; it is neither.
      if (event.todo !== undefined && event.todo !== false) sums.skipped++;
      else sums.failed++;
    });
    stream.once("end", resolve);
    stream.compose(spec()).pipe(process.stdout, { end: false });
  });
}

function longest(tookMs: ReadonlyMap<string, number>): string {
  return [...tookMs]
    .sort(([, a], [, b]) => b - a)
    .slice(0, 5)
    .map(([file, ms]) => `${relative(".", file)} ${seconds(ms)}`)
    .join(", ");
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
