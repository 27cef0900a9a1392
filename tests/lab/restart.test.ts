// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { type AgentStatus, agentReady, heldDown, killAgent } from "#kit/lab-agent.ts";
import { agentPid, kernelState, podLinks } from "#kit/lab-kernel.ts";
import { type Sample, scrape } from "#kit/lab-metrics.ts";
import { PodClient } from "#kit/lab-pod.ts";
import type { LoadOptions, LoadReport } from "#kit/lab-pod-load.ts";
import { labBpfDir, labStateDir, until, weftJson } from "#kit/lab-run.ts";
import { kubectlOk, labStatus, podOf, useLab } from "#kit/lab-use.ts";

for (const routing of ["tunnel", "native"] as const) {
  suite(`an agent that is killed loses nothing, ${routing}`, () => {
    const lab = useLab({ routing, families: "dual", files: ["restart.yaml"] });
    let client: PodClient;
    let loads: Record<string, LoadOptions>;

    before(async () => {
      client = await PodClient.start("load/client");
      const near = podOf(lab.status, "load", "near").ips[0]!;
      const [far = "", farV6 = ""] = podOf(lab.status, "load", "far").ips;
      const service = await serviceAddress("echo");
      loads = {
        "ping on the node": { kind: "ping", address: near, everyMs: 10 },
        "ping to another node": { kind: "ping", address: far, everyMs: 10 },
        "IPv6 ping to another node": { kind: "ping", address: farV6, everyMs: 10 },
        "transfer on the node": { kind: "transfer", address: near, port: 7000 },
        "transfer to another node": { kind: "transfer", address: far, port: 7000 },
        "ping outside, by a rule of addresses": { kind: "ping", address: "203.0.113.7", everyMs: 10 },
        "connections to the Service": { kind: "connections", address: service, port: 70, everyMs: 20 },
      };
    });
    after(() => client?.[Symbol.dispose]());

    for (const node of ["n1", "n2"]) {
      test(`kill -9 of ${node}'s agent`, async () => {
        const pods = await endpointsOf(node);
        await until("the pods' links", () => Object.keys(podLinks(node)).length === pods);
        const state = kernelState(node);
        const links = podLinks(node);
        await underLoad(client, loads, async () => {
          await killAgent(node);
          await agentReady(node);
        });
        assert.deepEqual(kernelState(node), state);
        assert.deepEqual(podLinks(node), links);
        assert.deepEqual(await writes(lab.status.metrics, node), []);
      });
    }

    if (routing === "native") return;

    test("held down for 2 s and killed again while it starts", async () => {
      const state = kernelState("n1");
      await underLoad(client, loads, async () => {
        await heldDown("n1", () => new Promise((resolve) => setTimeout(resolve, 2_000)));
        await until("the agent to start", () => agentPid("n1"));
        await new Promise((resolve) => setTimeout(resolve, 150));
        await killAgent("n1");
        await agentReady("n1");
      });
      assert.deepEqual(kernelState("n1"), state);
      assert.deepEqual(await writes(lab.status.metrics, "n1"), []);
    });

    test("pods come and go right after", async () => {
      await killAgent("n1");
      await kubectlOk(["-n", "load", "scale", "deployment", "near", "--replicas=2"]);
      await kubectlOk(["-n", "load", "rollout", "status", "deployment", "near", "--timeout=55s"]);
      const pods = (await labStatus()).pods.filter((pod) => pod.workload === "near");
      assert.equal(pods.length, 2);
      for (const pod of pods)
        assert.equal((await client.call("http", { host: pod.ips[0]!, port: 7000 })).pod, `load/${pod.name}`);
      await kubectlOk(["-n", "load", "scale", "deployment", "near", "--replicas=1"]);
      await until("the pod to go", async () => (await endpointsOf("n1")) === 3);
    });

    test("a pinned map of another layout is made anew, and that is said", async () => {
      const pin = join(labBpfDir, "n1/maps/ipcache");
      await heldDown("n1", async () => {
        rmSync(pin);
        using other = BpfMap.create({
          name: "ipcache",
          type: MapType.hash,
          keySize: 4,
          valueSize: 4,
          maxEntries: 8,
        });
        other.pin(pin);
      });
      await agentReady("n1");
      const log = readFileSync(join(labStateDir, "nodes/n1/agent.log"), "utf8");
      assert.match(log, /"map":"ipcache".*another layout/);
      const far = podOf(lab.status, "load", "far").ips[0]!;
      assert.equal((await client.call("http", { host: far, port: 7000 })).outcome, "answered");
    });

    test("policy that changed while the agent was down holds when it is back", async () => {
      const near = podOf(await labStatus(), "load", "near").ips[0]!;
      await heldDown("n1", async () => {
        await kubectlOk(["-n", "load", "delete", "networkpolicy", "echo"]);
        await kubectlOk(["apply", "-f", "-"], { input: denyEverything });
      });
      await agentReady("n1");
      await until("the policy to hold", async () => {
        const { outcome } = await client.call("http", { host: near, port: 7000, timeoutMs: 300 });
        return outcome === "timeout";
      });
      await kubectlOk(["-n", "load", "delete", "networkpolicy", "nobody"]);
      await until("the policy to be gone", async () => {
        const { outcome } = await client.call("http", { host: near, port: 7000, timeoutMs: 300 });
        return outcome === "answered";
      });
    });
  });
}

const denyEverything = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nobody, namespace: load}
spec: {podSelector: {matchLabels: {app: echo}}, policyTypes: [Ingress]}
`;

async function serviceAddress(name: string): Promise<string> {
  return await kubectlOk(["-n", "load", "get", "service", name, "-o", "jsonpath={.spec.clusterIP}"]);
}

async function underLoad(
  client: PodClient,
  loads: Record<string, LoadOptions>,
  work: () => Promise<void>,
): Promise<void> {
  const started: [string, number][] = [];
  for (const [name, options] of Object.entries(loads))
    started.push([name, (await client.call("start", options)).load]);
  await work();
  const reports: [string, LoadReport][] = [];
  for (const [name, load] of started) reports.push([name, await client.call("stop", { load })]);
  for (const [name, report] of reports) {
    const text = `${name}: ${JSON.stringify(report)}`;
    assert.deepEqual(report.lost, [], text);
    assert.equal(report.received, report.sent, text);
    assert.ok(report.sent > 0, text);
    assert.deepEqual(report.tcpLosses, {}, text);
  }
}

async function endpointsOf(node: string): Promise<number | undefined> {
  const [status] = await weftJson<AgentStatus[]>("status", "--node", node);
  return status?.counts.endpoints;
}

/** Maps the agent has written since it started; the constants and variables of its programs are new with every load. */
async function writes(url: string, node: string): Promise<Sample[]> {
  return (await scrape(url)).filter(
    ({ name, labels, value }) =>
      name === "weft_map_writes_total" && labels.node === node && !labels.map?.startsWith(".") && value > 0,
  );
}
