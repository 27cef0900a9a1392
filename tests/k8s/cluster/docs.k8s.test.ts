// SPDX-License-Identifier: Apache-2.0
// Runs the commands of docs/testing-on-kubernetes.md, in order.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { downCluster } from "./cluster.ts";
import { tryCommand } from "./command.ts";

const [, block] = /^```sh\n([\s\S]*?)^```$/m.exec(readFileSync("docs/testing-on-kubernetes.md", "utf8"))!;

after(() => downCluster("docs"));

for (const line of block!.trim().split("\n")) {
  test(line, async () => {
    const { code, stdout, stderr } = await tryCommand(["sh", "-c", line], { timeoutMs: 300_000 });
    assert.equal(code, 0, `${stdout}\n${stderr}`);
  });
}
