// SPDX-License-Identifier: Apache-2.0
// `weft prefilter` against an API server: a whole list goes by exec to each node's agent, which answers for itself.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startAgentApi } from "#agent/api.ts";
import { resources } from "#k8s/resource.ts";
import { type ContainerAnswer, liveCluster, nodeObject, weftPod } from "#kit/live-cluster.ts";
import { WeftError } from "#lib/errors.ts";
import { Database } from "#store/table.ts";

const dir = mkdtempSync(join(tmpdir(), "weft-prefilter-live-"));

/** An agent that takes every list but on n2, where it says what an agent would. */
function agentApi(node: string, asked: unknown[]) {
  return startAgentApi({
    socketPath: join(dir, `${node}.sock`),
    db: new Database(),
    status: () => assert.fail("nobody asks for it"),
    maps: {},
    actions: {
      async prefilter(body) {
        if (node === "n2") throw new WeftError("E_LOCK_OUT", "this would cut off you", { hint: "do not" });
        asked.push(body);
        const { cidrs } = body as { readonly cidrs: readonly string[] };
        return { added: cidrs.length, removed: 0, unchanged: 0, total: cidrs.length, warnings: [] };
      },
    },
  });
}

/** `weft raw` as it runs in the pod. Its input stays open: not every runtime tells its end. */
function inPod(node: string, command: readonly string[], line: string): Promise<ContainerAnswer> {
  const socket = ["--agent", join(dir, `${node}.sock`)];
  const child = spawn(process.execPath, ["src/main/weft.ts", ...command.slice(1), ...socket], {
    stdio: ["pipe", "pipe", "ignore"],
    timeout: 60_000,
  });
  child.stdin.write(line);
  let stdout = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk;
  });
  return new Promise((resolve) => child.once("close", (code) => resolve({ stdout, code: code ?? -1 })));
}

test("a list reaches every node whole, and who refuses it is named", async () => {
  const asked: unknown[] = [];
  await using _one = await agentApi("n1", asked);
  await using _two = await agentApi("n2", asked);
  await using cluster = await liveCluster({
    exec: (pod, command, line) => inPod(pod.replace("weft-", ""), command, line),
  });
  for (const [i, node] of ["n1", "n2"].entries()) {
    await cluster.create(resources.nodes, nodeObject(node, `192.0.2.${i + 1}`));
    await cluster.create(resources.pods, weftPod(`weft-${node}`, node));
  }
  const cidrs = Array.from({ length: 5_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  const feed = join(dir, "feed");
  writeFileSync(feed, cidrs.join("\n"));
  try {
    const { code, stdout, stderr } = await cluster.weft("prefilter", "add", "-f", feed);
    assert.deepEqual(
      { code, stdout, stderr },
      {
        code: 1,
        stdout: "n1: 5000 added; 5000 CIDRs denied\n",
        stderr: "weft: node n2: this would cut off you\n",
      },
    );
    assert.deepEqual(asked, [{ op: "add", cidrs }]);
    const alone = await cluster.weft("prefilter", "flush", "--node", "n2");
    assert.deepEqual([alone.code, alone.stderr], [1, "weft: this would cut off you\n  do not\n"]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
