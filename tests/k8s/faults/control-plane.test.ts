// SPDX-License-Identifier: Apache-2.0
/** The API server away for minutes, etcd restarted: the datapath goes on, and everything comes back by itself. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { apiServerReady } from "../cluster/control-plane.ts";
import { weftCluster } from "../cluster/weft.ts";
import { type LoadClients, startLoad } from "../load/clients.ts";
import { reportText } from "../load/report.ts";
import { agentSaid, killOn, pidOn, weftReady } from "./agents.ts";
import { assertSameObjects, clusterObjects, kernelStateOf, nothingLeaks } from "./node-state.ts";
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
    assertSameObjects(await clusterObjects(cluster), objects);
    await nothingLeaks(cluster);
    await agentSaid(cluster, other, fromMs, /API server|apiserver|watch|list/i);
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
    assertSameObjects(await clusterObjects(cluster), objects);
    await nothingLeaks(cluster);
  });
});
