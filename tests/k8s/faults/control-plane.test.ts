// SPDX-License-Identifier: Apache-2.0
/** The API server away for minutes, etcd restarted: the datapath goes on, and everything comes back by itself. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { apiServerReady } from "../cluster/control-plane.ts";
import { weftCluster } from "../cluster/weft.ts";
import { type LoadClients, startLoad } from "../load/clients.ts";
import { reportText } from "../load/report.ts";
import { killOn, kubeSystem, pidOn, weftPods, weftReady } from "./agents.ts";
import { clusterObjects, kernelStateOf, nothingLeaks } from "./node-state.ts";
import { assertNothingLost } from "./verdict.ts";

/** Two minutes; `WEFT_OUTAGE_SEC` says otherwise. */
const outageSec = Number(process.env["WEFT_OUTAGE_SEC"] ?? 120);
const cluster = await weftCluster();

suite("without a control plane", () => {
  let load: LoadClients;

  before(async () => {
    await weftReady(cluster);
    load = await startLoad(cluster);
  });
  after(async () => {
    await cluster.startComponent("etcd");
    await cluster.startComponent("kube-apiserver");
    await load?.[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  test(`the API server is stopped for ${outageSec} s, and an agent killed meanwhile`, async () => {
    const objects = await clusterObjects(cluster);
    const [node = "", other = ""] = cluster.nodes;
    const state = kernelStateOf(cluster, other);
    const fromMs = Date.now();
    const pid = await pidOn(cluster, node);
    await cluster.stopComponent("kube-apiserver");
    await delay((outageSec * 1_000) / 2);
    await killOn(cluster, node);
    await delay((outageSec * 1_000) / 2);
    assert.deepEqual(kernelStateOf(cluster, other).elements, state.elements, "nothing was deleted");
    await cluster.startComponent("kube-apiserver");
    await weftReady(cluster);
    assert.notEqual(await pidOn(cluster, node), pid);
    const reports = await load.report({ fromMs, toMs: Date.now() });
    console.log(reportText(reports));
    assertNothingLost(reports);
    assert.deepEqual(await clusterObjects(cluster), objects);
    await nothingLeaks(cluster);
    await said(other, fromMs, /API server|apiserver|watch|list/i);
  });

  test("etcd is killed and started again", async () => {
    const objects = await clusterObjects(cluster);
    const fromMs = Date.now();
    await cluster.stopComponent("etcd");
    await delay(5_000);
    await cluster.startComponent("etcd");
    await apiServerReady(cluster);
    await weftReady(cluster);
    const reports = await load.report({ fromMs, toMs: Date.now() });
    console.log(reportText(reports));
    assertNothingLost(reports);
    assert.deepEqual(await clusterObjects(cluster), objects);
    await nothingLeaks(cluster);
  });
});

/** The agent's log has a line about it, and not one a second. */
async function said(node: string, sinceMs: number, what: RegExp): Promise<void> {
  const agent = (await weftPods(cluster)).find((pod) => pod.node === node);
  assert.ok(agent);
  const since = `--since-time=${new Date(sinceMs).toISOString()}`;
  const lines = (await kubeSystem(cluster, ["logs", agent.name, since]))
    .split("\n")
    .filter((line) => what.test(line));
  console.log(lines.slice(0, 5).join("\n"));
  assert.ok(lines.length > 0, "the log says that the API server was away");
  assert.ok(lines.length < 60, `${lines.length} lines about it`);
}
