// SPDX-License-Identifier: Apache-2.0
/** `weft prefilter` at traffic control: the cluster has no balancer at XDP. */
import { after, suite, test } from "node:test";
import { weftCluster } from "../cluster/weft.ts";
import { weftReady } from "../faults/agents.ts";
import { deniesOutside, doesNotLockOut } from "../loadbalancing/prefilter.ts";

const cluster = await weftCluster();

suite("weft prefilter", () => {
  after(() => cluster[Symbol.asyncDispose]());

  test("refuses to cut nodes off from each other and from the API server", async () => {
    await weftReady(cluster);
    await doesNotLockOut(cluster, [4]);
  });

  test("denies a host on every node, whatever becomes of an agent", () => deniesOutside(cluster, [4]));
});
