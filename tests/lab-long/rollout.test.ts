// SPDX-License-Identifier: Apache-2.0
// `sh tools/test.sh lab-long`: too long for every time.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { agentPid } from "#kit/lab-kernel.ts";
import { PodClient } from "#kit/lab-pod.ts";
import type { LoadOptions } from "#kit/lab-pod-load.ts";
import { until } from "#kit/lab-run.ts";
import { kubectlOk, labStatus, useLab } from "#kit/lab-use.ts";

const inRoll = (...args: string[]) => kubectlOk(["-n", "roll", ...args], { timeoutMs: 150_000 });

suite("a rolling update of ten pods under 200 connections a second loses none", () => {
  const lab = useLab({ files: [join(import.meta.dirname, "rollout.yaml")] });
  let clients: readonly { readonly name: string; readonly client: PodClient; readonly load: LoadOptions }[];

  before(async () => {
    const of = async (path: string) => await inRoll("get", "service", "web", "-o", `jsonpath=${path}`);
    const vip = await of("{.spec.clusterIP}");
    const nodePort = Number(await of("{.spec.ports[0].nodePort}"));
    const n2 = lab.status.nodes.find(({ name }) => name === "n2")!.addresses[0]!;
    const load = (address: string, port: number): LoadOptions => ({
      kind: "connections",
      address,
      port,
      everyMs: 10,
    });
    clients = [
      { name: "a pod", client: await PodClient.start("roll/client"), load: load(vip, 70) },
      { name: "the outside", client: await PodClient.start("world"), load: load(n2, nodePort) },
    ];
  });
  after(() => {
    for (const { client } of clients ?? []) client[Symbol.dispose]();
  });

  for (const killed of [undefined, "n1", "n2"])
    test(killed ? `with kill -9 of ${killed}'s agent` : "with all agents at work", async () => {
      const names = await pods();
      const started = [];
      for (const { name, client, load } of clients)
        started.push({ name, client, load: (await client.call("start", load)).load });
      await inRoll("rollout", "restart", "deployment", "web");
      if (killed) {
        await until("the first new pod", async () => (await pods()).some((pod) => !names.includes(pod)));
        const pid = agentPid(killed)!;
        process.kill(pid, "SIGKILL");
        await until("another agent", () => agentPid(killed) !== pid && agentPid(killed) !== undefined);
      }
      await inRoll("rollout", "status", "deployment", "web", "--timeout=120s");
      const gone = async () => (await pods()).every((pod) => !names.includes(pod));
      await until("the old pods to go", gone);
      for (const { name, client, load } of started) {
        const report = await client.call("stop", { load });
        console.log(`${name}: ${report.sent} connections, slowest ${Math.round(report.slowestMs)} ms`);
        assert.deepEqual(report.lost, [], name);
        assert.ok(report.sent > 100 && report.received === report.sent, JSON.stringify(report));
      }
    });
});

async function pods(): Promise<string[]> {
  const { pods } = await labStatus();
  return pods.filter(({ workload }) => workload === "web").map(({ name }) => name);
}
