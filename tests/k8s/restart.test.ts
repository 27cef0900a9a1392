// SPDX-License-Identifier: Apache-2.0
/** Clients that never stop lose nothing while Weft is killed, replaced, upgraded and told other settings. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { weftCluster } from "./cluster/weft.ts";
import {
  agentBack,
  agentDaemonSet,
  deleteAgentPod,
  killOn,
  kubeSystem,
  operatorDeployment,
  pidOn,
  rollout,
  weftPods,
  weftReady,
} from "./faults/agents.ts";
import {
  assertSameObjects,
  clusterObjects,
  kernelStateOf,
  mapWrites,
  nothingLeaks,
} from "./faults/node-state.ts";
import { assertNothingLost } from "./faults/verdict.ts";
import { type LoadClients, startLoad } from "./load/clients.ts";
import { type FlowReport, reportText } from "./load/report.ts";

/** 20 in a row; `WEFT_RESTARTS` says otherwise. */
const restarts = Number(process.env["WEFT_RESTARTS"] ?? 20);
const cluster = await weftCluster();

suite("nothing is lost", () => {
  let load: LoadClients;

  before(async () => {
    await weftReady(cluster);
    load = await startLoad(cluster);
  });
  after(async () => {
    await load?.[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  /** What the clients saw while the work was done and a moment after. */
  async function during(work: () => Promise<void>): Promise<FlowReport[]> {
    const fromMs = Date.now();
    await work();
    return await load.report({ fromMs, toMs: Date.now() + 1_000 });
  }

  test("at rest: the control", async () => {
    const reports = await during(() => new Promise((resolve) => setTimeout(resolve, 10_000)));
    console.log(reportText(reports));
    assertNothingLost(reports);
  });

  test(`${restarts} restarts of agents in a row: killed, or their pods replaced`, async () => {
    const before = cluster.nodes.map((node) => kernelStateOf(cluster, node));
    const objects = await clusterObjects(cluster);
    const reports = await during(async () => {
      for (let i = 0; i < restarts; i++) {
        const node = cluster.nodes[(i >> 1) % cluster.nodes.length]!;
        const pid = await pidOn(cluster, node);
        if (i % 2 === 0) await killOn(cluster, node);
        else await deleteAgentPod(cluster, node);
        await agentBack(cluster, node, pid);
        assert.deepEqual(await mapWrites(cluster, node), [], `${node} after restart ${i + 1}`);
      }
    });
    console.log(reportText(reports));
    assertNothingLost(reports);
    cluster.nodes.forEach((node, i) => {
      assert.deepEqual(kernelStateOf(cluster, node), before[i], `kernel state of ${node}`);
    });
    assertSameObjects(await clusterObjects(cluster), objects);
    await nothingLeaks(cluster);
  });

  test("an upgrade: every agent replaced by one of another image", async () => {
    const image = (
      await kubeSystem(cluster, ["get", agentDaemonSet, "-o", "jsonpath={..containers[0].image}"])
    ).trim();
    const next = `${image}-next`;
    for (const node of cluster.nodes)
      await cluster.onNode(node, ["ctr", "-n", "k8s.io", "images", "tag", "--force", image, next]);
    const reports = await during(async () => {
      await kubeSystem(cluster, ["set", "image", agentDaemonSet, `agent=${next}`]);
      await rollout(cluster, agentDaemonSet);
      for (const node of cluster.nodes) assert.deepEqual(await mapWrites(cluster, node), [], node);
      await kubeSystem(cluster, ["set", "image", agentDaemonSet, `agent=${image}`]);
      await rollout(cluster, agentDaemonSet);
    });
    console.log(reportText(reports));
    assertNothingLost(reports);
  });

  test("a setting that changes", async () => {
    const path = ["get", "configmap", "weft-config", "-o", "jsonpath={.data.agent\\.yaml}"];
    const was = await kubeSystem(cluster, path);
    const is = `${was.replace(/^flowBuffer:.*\n?/m, "").trimEnd()}\nflowBuffer: 8191\n`;
    const change = async (text: string) => {
      const patch = JSON.stringify({ data: { "agent.yaml": text } });
      await kubeSystem(cluster, ["patch", "configmap", "weft-config", "--type=merge", "-p", patch]);
      await kubeSystem(cluster, ["rollout", "restart", agentDaemonSet]);
      await rollout(cluster, agentDaemonSet);
    };
    const reports = await during(async () => {
      await change(is);
      await change(was);
    });
    console.log(reportText(reports));
    assertNothingLost(reports);
  });

  test("the operator, killed and replaced", async () => {
    const objects = await clusterObjects(cluster);
    const reports = await during(async () => {
      const [operator] = await weftPods(cluster, "weft-operator");
      assert.ok(operator);
      await killOn(cluster, operator.node, "weft-operator");
      await weftReady(cluster);
      await kubeSystem(cluster, ["rollout", "restart", operatorDeployment]);
      await rollout(cluster, operatorDeployment);
    });
    console.log(reportText(reports));
    assertNothingLost(reports);
    assertSameObjects(await clusterObjects(cluster), objects);
  });

  test("a node drained and back: what has an end on the other node loses nothing", async () => {
    const [, far = ""] = cluster.nodes;
    const reports = await during(async () => {
      const flags = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s"];
      await cluster.kubectl(["drain", far, ...flags], { timeoutMs: 70_000 });
      await cluster.kubectl(["uncordon", far]);
    });
    console.log(reportText(reports));
    // The far servers went with the node; a connection to a Service stays with its backend as long as that lives: a stream through a NodePort,
    // whichever node's, may have had one there.
    assertNothingLost(reports, /^(pod|node)\/near\/|^outside\/near\/(icmp|connect|udp)|service\/connect|dns/);
    await nothingLeaks(cluster);
  });
});
