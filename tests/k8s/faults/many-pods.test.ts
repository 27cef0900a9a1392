// SPDX-License-Identifier: Apache-2.0
/** A node as full of pods as kubelet takes them, all at once; an agent killed with all of them there; all gone at once. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { until } from "../cluster/until.ts";
import { weftCluster } from "../cluster/weft.ts";
import { type LoadClients, startLoad } from "../load/clients.ts";
import { loadImage } from "../load/image.ts";
import { reportText } from "../load/report.ts";
import { agentBack, killOn, pidOn, weftReady } from "./agents.ts";
import { mapWrites, nothingLeaks } from "./node-state.ts";
import { assertNothingLost } from "./verdict.ts";

const cluster = await weftCluster();
const [near = ""] = cluster.nodes;
const namespace = "many";

suite("a full node", () => {
  let load: LoadClients;

  before(async () => {
    await weftReady(cluster);
    load = await startLoad(cluster);
  });
  after(async () => {
    await cluster.kubectl(["delete", "namespace", namespace, "--ignore-not-found", "--wait=false"]);
    await load?.[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  test("as many pods as it may have come up at once, outlive an agent, and leave nothing", async () => {
    const replicas = await room();
    const fromMs = Date.now();
    await cluster.apply({ apiVersion: "v1", kind: "List", items: objects(replicas) });
    await until(`${replicas} pods to be ready`, 420_000, async () => (await ready()) === replicas);
    console.log(`${replicas} pods ready after ${((Date.now() - fromMs) / 1_000).toFixed(0)} s`);
    await nothingLeaks(cluster, 120_000);
    const pid = await pidOn(cluster, near);
    await killOn(cluster, near);
    await agentBack(cluster, near, pid);
    assert.deepEqual(await mapWrites(cluster, near), [], "the agent that came back writes nothing anew");
    await cluster.kubectl(["delete", "namespace", namespace, "--timeout=300s"], { timeoutMs: 310_000 });
    await nothingLeaks(cluster, 120_000);
    const reports = await load.report({ fromMs, toMs: Date.now() });
    console.log(reportText(reports));
    assertNothingLost(reports);
  });
});

/** How many pods more the node takes. */
async function room(): Promise<number> {
  const most = await cluster.kubectl(["get", "node", near, "-o", "jsonpath={.status.allocatable.pods}"]);
  const path = "jsonpath={range .items[*]}{.metadata.name} {end}";
  const args = ["get", "pods", "-A", "--field-selector", `spec.nodeName=${near}`, "-o", path];
  const there = (await cluster.kubectl(args)).trim().split(" ").filter(Boolean).length;
  return Number(most) - there;
}

async function ready(): Promise<number> {
  const path = "jsonpath={.status.readyReplicas}";
  return Number(await cluster.kubectl(["-n", namespace, "get", "deployment", "many", "-o", path]));
}

function objects(replicas: number): object[] {
  const labels = { app: "many" };
  const container = {
    name: "many",
    image: loadImage,
    imagePullPolicy: "IfNotPresent",
    args: ["serve", "7000"],
    resources: { requests: { cpu: "1m", memory: "1Mi" } },
  };
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "many", namespace },
      spec: {
        replicas,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            nodeSelector: { "kubernetes.io/hostname": near },
            terminationGracePeriodSeconds: 1,
            containers: [container],
          },
        },
      },
    },
  ];
}
