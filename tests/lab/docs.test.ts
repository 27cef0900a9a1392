// SPDX-License-Identifier: Apache-2.0
// Runs every command that README and docs show in ```sh blocks, in order, against a lab of its own.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";

const env = { ...process.env, WEFT_LAB: "docs", NO_COLOR: "1" };

/** Tests run these by other means: they are this run itself, its set-up, hold a terminal, or need a real cluster. */
const ranElsewhere =
  /^(npm (start|test|run (setup|build|gen|check|bench|image))|sh tools\/test\.sh|sudo |node_modules\/node\/bin\/node tests\/k8s\/)/;

function commandsOf(file: string): string[] {
  const blocks = readFileSync(file, "utf8").matchAll(/^```sh\n([\s\S]*?)^```$/gm);
  return [...blocks].flatMap(([, body]) =>
    body!
      .split("\n")
      .map((line) => line.replace(/\s+#.*$/, "").trim())
      .filter(Boolean),
  );
}

/**
 * The lab's usual name belongs to whoever runs the tests: the docs' path is this lab's here. Its nodes remember fewer flows than usual: on a busy machine commands that read all of
 * them took half of this file's time.
 */
function here(command: string): string {
  const named = command.replaceAll("/run/weft-lab/", "/run/weft-docs-lab/");
  return /^\.\/weft lab up\b/.test(named) ? `${named} --set flowBuffer=4095` : named;
}

function run(command: string, timeoutMs = 60_000) {
  return spawnSync("sh", ["-c", command], { env, encoding: "utf8", timeout: timeoutMs });
}

const hasKubectl = run("command -v kubectl").status === 0;

before(() => run("./weft lab down"));
after(() => run("./weft lab down"));

for (const file of ["README.md", "CONTRIBUTING.md", ...globSync("docs/**/*.md").sort()]) {
  for (const command of commandsOf(file)) {
    if (ranElsewhere.test(command)) continue;
    const skip = command.startsWith("kubectl") && !hasKubectl ? "kubectl is not installed" : false;
    test(`${file}: ${command}`, { skip }, () => {
      const result = run(here(command));
      assert.equal(result.status, 0, `exit ${result.status}\n${result.stdout}\n${result.stderr}`);
    });
  }
}
