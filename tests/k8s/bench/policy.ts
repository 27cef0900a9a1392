// SPDX-License-Identifier: Apache-2.0
/** From a change in the API server to its effect on packets of a pod to a pod of another node, as `npm run bench` measures it in the lab. */
import { setTimeout as delay } from "node:timers/promises";
import { startProber } from "../../bench/prober.ts";
import { type Figure, latency } from "../../bench/stats.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { firstProcess } from "../cluster/node.ts";
import { loadImage } from "../load/image.ts";
import type { Api } from "./api.ts";

const namespace = "bench-policy";
const policies = `/apis/networking.k8s.io/v1/namespaces/${namespace}/networkpolicies`;
const port = 7701;

export async function policyFigures(cluster: Cluster, api: Api, rounds: number): Promise<Figure[]> {
  const [near = "", far = near] = cluster.nodes;
  await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  try {
    for (const [name, node] of [
      ["client", near],
      ["server", far],
    ] as const)
      await cluster.apply(pod(name, node));
    await cluster.kubectl([
      "-n",
      namespace,
      "wait",
      "--for=condition=Ready",
      "pod",
      "--all",
      "--timeout=60s",
    ]);
    const server = await addressOf(cluster, "server");
    const client = { netns: await netnsOf(cluster, near, await addressOf(cluster, "client")) };
    const listen = `${server}:${port}`;
    await using prober = startProber({
      client,
      connect: listen,
      servers: [{ netns: await netnsOf(cluster, far, server), listen, letter: "A" }],
    });
    await prober.until("A", 0n);
    const enforced: number[] = [];
    const lifted: number[] = [];
    const change = async (letter: string, into: number[], apply: () => Promise<unknown>) => {
      // Changes must not keep step with anything periodic.
      await delay(80 + Math.random() * 170);
      const startNs = process.hrtime.bigint();
      const [atNs] = await Promise.all([prober.until(letter, startNs), apply()]);
      into.push(Number(atNs - startNs) / 1e6);
    };
    for (let round = 0; round < rounds; round++) {
      await change("-", enforced, () => api.call("POST", policies, policy));
      await change("A", lifted, () => api.call("DELETE", `${policies}/${policy.metadata.name}`));
    }
    return [
      ...latency("NetworkPolicy applied to enforced", enforced),
      ...latency("NetworkPolicy deleted to lifted", lifted),
    ];
  } finally {
    await cluster.kubectl(["delete", "namespace", namespace, "--wait=false"]);
  }
}

const policy = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "nobody", namespace },
  spec: { podSelector: { matchLabels: { app: "server" } }, policyTypes: ["Ingress"] },
};

function pod(name: string, node: string): object {
  const container = { name, image: loadImage, imagePullPolicy: "IfNotPresent", args: ["serve", "7000"] };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { app: name } },
    spec: { nodeName: node, terminationGracePeriodSeconds: 1, containers: [container] },
  };
}

function addressOf(cluster: Cluster, name: string): Promise<string> {
  return cluster.kubectl(["-n", namespace, "get", "pod", name, "-o", "jsonpath={.status.podIP}"]);
}

/** Path of a pod's network namespace as this machine sees it: the node keeps them where containerd does. */
async function netnsOf(cluster: Cluster, node: string, address: string): Promise<string> {
  const script = `for netns in /run/netns/*; do nsenter --net=$netns ip -o address | grep -qF " $1/" && echo $netns; done`;
  const { stdout } = await cluster.onNode(node, ["sh", "-c", script, "netns", address]);
  if (stdout.trim() === "") throw new Error(`${node} has no pod with address ${address}`);
  return `/proc/${firstProcess(cluster.layout, node)}/root${stdout.trim()}`;
}
