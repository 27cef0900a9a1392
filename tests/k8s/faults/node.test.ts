// SPDX-License-Identifier: Apache-2.0
/** A node that loses its power and comes back: the others go on, and it is a node again without anybody's help. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { until } from "../cluster/until.ts";
import { weftCluster } from "../cluster/weft.ts";
import { type LoadClients, startLoad } from "../load/clients.ts";
import { loadNamespace } from "../load/manifests.ts";
import { reportText } from "../load/report.ts";
import { weftReady } from "./agents.ts";
import { assertSameObjects, clusterObjects, nothingLeaks } from "./node-state.ts";
import { assertNothingDeniedPassed, assertNothingLost } from "./verdict.ts";

const cluster = await weftCluster();
const [, pulled = ""] = cluster.nodes;

suite("a node is pulled and returned", () => {
  let load: LoadClients | undefined;

  before(async () => {
    await weftReady(cluster);
    load = await startLoad(cluster);
  });
  after(async () => {
    await load?.[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  test("what stays on the other nodes loses nothing; then all is as it was", async () => {
    assert.ok(load);
    const objects = await clusterObjects(cluster);
    const fromMs = Date.now();
    await cluster.pull(pulled);
    await nodeIs("False|Unknown");
    const reports = await load.report({ fromMs, toMs: Date.now() });
    console.log(reportText(reports));
    assertNothingLost(reports, /^(pod|node)\/near\//);
    assertNothingDeniedPassed(reports);
    await cluster.start(pulled);
    await nodeIs("True");
    await weftReady(cluster, 180_000);
    await nothingLeaks(cluster, 120_000);
    assert.deepEqual((await clusterObjects(cluster)).podCidrs, objects.podCidrs);
    // Its pods have new addresses: the clients are told.
    await load[Symbol.asyncDispose]();
    load = await startLoad(cluster);
  });

  test("a reboot nobody has noticed: its pods are on again, each as one of those that were", async () => {
    assert.ok(load);
    const [objects, pods] = await Promise.all([clusterObjects(cluster), podsOf()]);
    const fromMs = Date.now();
    await cluster.pull(pulled);
    await cluster.start(pulled);
    await until("the pods of the node to run again", 240_000, async () => {
      const now = await podsOf();
      return (
        now.length === pods.length && now.every(([uid, restarts], i) => uid === pods[i]![0] && restarts > 0)
      );
    });
    await nodeIs("True");
    await weftReady(cluster, 180_000);
    const reports = await load.report({ fromMs, toMs: Date.now() });
    console.log(reportText(reports));
    assertNothingLost(reports, /^(pod|node)\/near\//);
    assertNothingDeniedPassed(reports);
    await nothingLeaks(cluster, 120_000);
    assertSameObjects(await clusterObjects(cluster), objects);
    await load[Symbol.asyncDispose]();
    load = await startLoad(cluster);
  });
});

/** Of the load's pods on the node: uid, and how often their container was started again once they are ready; by uid. */
async function podsOf(): Promise<(readonly [uid: string, restarts: number])[]> {
  const args = [
    "-n",
    loadNamespace,
    "get",
    "pods",
    "--field-selector",
    `spec.nodeName=${pulled}`,
    "-o",
    "json",
  ];
  const { items } = JSON.parse(await cluster.kubectl(args)) as {
    items: {
      metadata: { uid: string };
      status: { containerStatuses?: { ready: boolean; restartCount: number }[] };
    }[];
  };
  return items
    .map(({ metadata: { uid }, status: { containerStatuses: [one] = [] } }) => {
      return [uid, one?.ready ? one.restartCount : -1] as const;
    })
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Ready's status, as a regular expression. */
async function nodeIs(status: string): Promise<void> {
  await until(`${pulled} to be ${status}`, 120_000, async () => {
    const path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
    return new RegExp(`^(${status})$`).test(await cluster.kubectl(["get", "node", pulled, "-o", path]));
  });
}
