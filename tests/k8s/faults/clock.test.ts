// SPDX-License-Identifier: Apache-2.0
/** The wall clock is set by a day, ahead and back, under running agents and operator: nothing waits for it, nothing runs out by it. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { until } from "../cluster/until.ts";
import { weftCluster } from "../cluster/weft.ts";
import { type LoadClients, startLoad } from "../load/clients.ts";
import { loadNamespace, podObject } from "../load/manifests.ts";
import { reportText } from "../load/report.ts";
import { kubeSystem, pidOn, weftPods, weftReady } from "./agents.ts";
import { assertSameObjects, clusterObjects, nothingLeaks } from "./node-state.ts";
import { assertNothingLost } from "./verdict.ts";
import { asBefore, makeClocksSettable, setClock } from "./wall-clock.ts";

const cluster = await weftCluster();
const [near = ""] = cluster.nodes;
const dayMs = 86_400_000;

suite("the wall clock is set", () => {
  let load: LoadClients;

  before(async () => {
    await weftReady(cluster);
    load = await startLoad(cluster);
    await makeClocksSettable(cluster);
    // So that its identity is no new one later.
    await podComesAndGoes();
  });
  after(async () => {
    await asBefore(cluster);
    await load?.[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  for (const [name, offsetMs] of [
    ["a day ahead", dayMs],
    ["two days back", -dayMs],
    ["to the right time", 0],
  ] as const) {
    test(name, async () => {
      const [objects, pids, leader] = await Promise.all([clusterObjects(cluster), agentPids(), lease()]);
      const fromMs = Date.now();
      await setClocks(offsetMs);
      await until("flows to carry the new time", 60_000, async () => {
        const apartMs = (await lastFlowMs()) - Date.now() - offsetMs;
        return Math.abs(apartMs) < dayMs / 4;
      });
      await podComesAndGoes();
      assert.deepEqual(await agentPids(), pids, "no agent was started again");
      assert.equal(await lease(), leader, "the operator still leads");
      await weftReady(cluster);
      const reports = await load.report({ fromMs, toMs: Date.now() });
      console.log(reportText(reports));
      assertNothingLost(reports);
      assertSameObjects(await clusterObjects(cluster), objects);
      await nothingLeaks(cluster);
    });
  }
});

async function setClocks(offsetMs: number): Promise<void> {
  const [operator] = await weftPods(cluster, "weft-operator");
  assert.ok(operator);
  for (const node of cluster.nodes) assert.ok(await setClock(cluster, node, "weft", offsetMs));
  assert.ok(await setClock(cluster, operator.node, "weft-operator", offsetMs));
}

const agentPids = () => Promise.all(cluster.nodes.map((node) => pidOn(cluster, node)));

/** Who leads the operators, and how often that changed. */
const lease = () =>
  kubeSystem(cluster, [
    "get",
    "lease",
    "weft-operator-leader",
    "-o",
    "jsonpath={.spec.holderIdentity} {.spec.leaseTransitions}",
  ]);

async function lastFlowMs(): Promise<number> {
  const agent = (await weftPods(cluster)).find((pod) => pod.node === near);
  assert.ok(agent);
  const text = await kubeSystem(cluster, [
    "exec",
    agent.name,
    "--",
    "weft",
    "observe",
    "--last",
    "1",
    "-o",
    "json",
  ]);
  const { time } = JSON.parse(text.trim().split("\n").at(-1) ?? "") as { readonly time: string };
  return Date.parse(time);
}

async function podComesAndGoes(): Promise<void> {
  const late = { name: "late", node: near, app: "late", args: ["serve", "7000"], server: true };
  await cluster.apply(podObject(late));
  const pod = ["-n", loadNamespace, "pod/late"];
  await cluster.kubectl(["wait", "--for=condition=Ready", ...pod, "--timeout=90s"], { timeoutMs: 100_000 });
  await cluster.kubectl(["delete", ...pod, "--wait=true", "--timeout=60s"], { timeoutMs: 70_000 });
}
