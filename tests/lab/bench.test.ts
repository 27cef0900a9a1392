// SPDX-License-Identifier: Apache-2.0
/** The bench still measures: one round of its cheap parts, and nothing of it is left. What it measures is no matter here. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { listNetns } from "#kernel/netns.ts";
import { installRoot } from "#lib/assets.ts";

const run = promisify(execFile);
const name = "benchtest";

interface Row {
  readonly name: string;
  readonly unit: string;
  readonly median: number;
  readonly q1: number;
  readonly q3: number;
  readonly rounds: number;
}

function bench(...args: string[]) {
  const env = { ...process.env, WEFT_LAB: name };
  const argv = [join(installRoot(), "tests/bench/run.ts"), ...args];
  return run(process.execPath, argv, { env, timeout: 100_000, killSignal: "SIGINT" });
}

describe("the bench", () => {
  it("measures a round and takes everything down", async () => {
    const dir = mkdtempSync(join(tmpdir(), "weft-bench-"));
    try {
      const json = join(dir, "figures.json");
      const { stdout } = await bench("--only", "programs,tunnel", "--rounds", "1", "--json", json);
      const rows = JSON.parse(readFileSync(json, "utf8")) as Row[];
      for (const row of rows) {
        assert.ok(row.unit && row.rounds >= 1 && row.q1 <= row.median && row.median <= row.q3, row.name);
        assert.ok(row.median > 0, row.name);
      }
      for (const wanted of [
        "pods of one node: tcp_crr rate",
        "ClusterIP: udp_rr CPU per operation",
        "pods across nodes, VXLAN: stream rate",
        "from_pod to another node: time",
      ]) {
        assert.ok(
          rows.some((row) => row.name === wanted),
          wanted,
        );
        assert.match(stdout, new RegExp(wanted));
      }
      assert.deepEqual(
        listNetns().filter((one) => one.startsWith(`weft-${name}-`)),
        [],
      );
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it("refuses what it does not know with exit code 2", async () => {
    await assert.rejects(bench("--only", "nothing"), { code: 2, stderr: /no part "nothing"/ });
    await assert.rejects(bench("--rounds", "0"), { code: 2 });
    await assert.rejects(bench("--what"), { code: 2 });
  });
});
