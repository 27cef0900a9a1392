// SPDX-License-Identifier: Apache-2.0
/** No room left: conntrack map, events' ring buffer, state directory. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../cluster/until.ts";
import { weftCluster } from "../cluster/weft.ts";
import { type LoadClients, startLoad } from "../load/clients.ts";
import { loadNamespace, podObject } from "../load/manifests.ts";
import { reportText } from "../load/report.ts";
import { agentBack, agentSaid, deleteAgentPod, pidOn, weftReady } from "./agents.ts";
import { nodeCounts, nothingLeaks } from "./node-state.ts";
import { assertNothingLost } from "./verdict.ts";

const cluster = await weftCluster();
const [near = ""] = cluster.nodes;
const stateDir = "/var/lib/weft";

suite("no room left", () => {
  let load: LoadClients;

  before(async () => {
    await weftReady(cluster);
    load = await startLoad(cluster);
  });
  after(async () => {
    await load?.[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  /** New flows from a pod, more than the conntrack map has room for, by the thousand a second. */
  async function flood(perSecond: number, work: () => Promise<void>): Promise<void> {
    const args = ["run", `flood flood ${load.targets.far.echo} 0 ${perSecond}`];
    const pod = podObject({ name: "flood", node: near, app: "flood", args });
    await cluster.apply(pod);
    const name = ["-n", loadNamespace, "pod/flood"];
    await cluster.kubectl(["wait", "--for=condition=Ready", ...name, "--timeout=30s"]);
    try {
      await work();
    } finally {
      await cluster.kubectl([
        "-n",
        loadNamespace,
        "delete",
        "pod",
        "flood",
        "--grace-period=1",
        "--wait=true",
      ]);
    }
  }

  test("the conntrack map is full: connections in use stay, new ones come in", async () => {
    const fromMs = Date.now();
    await flood(20_000, () => delay(20_000));
    const reports = await load.report({ fromMs, toMs: Date.now() });
    console.log(reportText(reports));
    assertNothingLost(reports, /^(?!flood)/);
  });

  test("nobody reads the events while flows come by the thousand: packets go on, and so does the agent", async () => {
    const fromMs = Date.now();
    const pid = await pidOn(cluster, near);
    assert.ok(pid);
    await flood(20_000, async () => {
      await cluster.onNode(near, ["kill", "-STOP", String(pid)]);
      await delay(8_000);
      await cluster.onNode(near, ["kill", "-CONT", String(pid)]);
      await delay(3_000);
    });
    const reports = await load.report({ fromMs, toMs: Date.now() });
    console.log(reportText(reports));
    assertNothingLost(reports, /^(?!flood)/);
    await weftReady(cluster);
    await agentSaid(cluster, near, fromMs, /flow events were lost/);
  });

  test("the state directory is full: no pod half attached, and pods come up when there is room again", async () => {
    const fromMs = Date.now();
    const pid = await pidOn(cluster, near);
    const run = async (command: string) => {
      const { code, stderr } = await cluster.onNode(near, ["sh", "-c", command]);
      assert.equal(code, 0, `${command}: ${stderr}`);
    };
    // The agent sees the small file system once its pod is new.
    await run(
      `cp -a ${stateDir} /run/weft-state && mount -t tmpfs -o size=256k tmpfs ${stateDir} && cp -a /run/weft-state/. ${stateDir}`,
    );
    try {
      await deleteAgentPod(cluster, near);
      await agentBack(cluster, near, pid);
      await run(`dd if=/dev/zero of=${stateDir}/filler bs=1k 2>/dev/null; true`);
      const before = await nodeCounts(cluster, near);
      await cluster.apply(
        podObject({ name: "late", node: near, app: "late", args: ["serve", "7000"], server: true }),
      );
      const events = [
        "-n",
        loadNamespace,
        "get",
        "events",
        "--field-selector",
        "involvedObject.name=late",
        "-o",
        "jsonpath={..message}",
      ];
      await until("the runtime to be told why", 60_000, async () =>
        /no space left/i.test(await cluster.kubectl(events)),
      );
      const { devices, endpointFiles, endpointElements } = await nodeCounts(cluster, near);
      assert.deepEqual(
        [devices, endpointFiles, endpointElements],
        [before.devices, before.endpointFiles, before.endpointElements],
      );
      await agentSaid(cluster, near, fromMs, /no space left/i);
      await run(`rm ${stateDir}/filler`);
      await cluster.kubectl([
        "-n",
        loadNamespace,
        "wait",
        "--for=condition=Ready",
        "pod/late",
        "--timeout=90s",
      ]);
    } finally {
      const old = await pidOn(cluster, near);
      await run(
        `rm -rf /run/weft-state; cp -a ${stateDir} /run/weft-state && umount -l ${stateDir} && rm -rf ${stateDir}/* && cp -a /run/weft-state/. ${stateDir}`,
      );
      await deleteAgentPod(cluster, near);
      await agentBack(cluster, near, old);
    }
    const reports = await load.report({ fromMs, toMs: Date.now() });
    console.log(reportText(reports));
    assertNothingLost(reports);
    await nothingLeaks(cluster);
  });
});
