// SPDX-License-Identifier: Apache-2.0
/** Weft's own pods on a cluster, and what may happen to them. */
import assert from "node:assert/strict";
import type { Cluster } from "../cluster/cluster.ts";
import { until } from "../cluster/until.ts";

const namespace = "kube-system";
export const agentDaemonSet = "daemonset/weft";
export const operatorDeployment = "deployment/weft-operator";

export interface WeftPod {
  readonly name: string;
  readonly uid: string;
  readonly node: string;
  readonly ready: boolean;
  readonly restarts: number;
}

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
    readonly spec: { readonly nodeName?: string };
    readonly status: {
      readonly conditions?: readonly { readonly type: string; readonly status: string }[];
      readonly containerStatuses?: readonly { readonly restartCount: number }[];
    };
  }[];
}

export type App = "weft" | "weft-operator";

/** Pods of the agent or the operator that are not being deleted. */
export async function weftPods(cluster: Cluster, app: App = "weft"): Promise<WeftPod[]> {
  const text = await cluster.kubectl(["-n", namespace, "get", "pods", "-l", `k8s-app=${app}`, "-o", "json"]);
  return (JSON.parse(text) as PodList).items
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ metadata, spec, status }) => ({
      name: metadata.name,
      uid: metadata.uid,
      node: spec.nodeName ?? "",
      ready: status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false,
      restarts: status.containerStatuses?.[0]?.restartCount ?? 0,
    }));
}

const programs: Record<App, string> = { weft: "weft-agent", "weft-operator": "weft-operator" };

/** The program's process number as the node sees it; undefined while it does not run there. */
export async function pidOn(cluster: Cluster, node: string, app: App = "weft"): Promise<number | undefined> {
  // The wrapper replaces itself by Node, which is given the bundle.
  const bundle = `/opt/weft/dist/${programs[app].replace("weft-", "")}.mjs`;
  const { stdout } = await cluster.onNode(node, ["pgrep", "-o", "-f", `^[^ ]*node .*${bundle}`]);
  return stdout.trim() === "" ? undefined : Number(stdout.trim());
}

/** kill -9; returns when the process is gone. False: there was none to kill. */
export async function killOn(cluster: Cluster, node: string, app: App = "weft"): Promise<boolean> {
  const pid = await pidOn(cluster, node, app);
  if (pid === undefined) return false;
  await cluster.onNode(node, ["kill", "-9", String(pid)]);
  await until(`${app} on ${node} to die`, 10_000, async () => (await pidOn(cluster, node, app)) !== pid);
  return true;
}

/** Ends the containerd shim above a pod of ours, and what it holds with it. False: there was none. */
export async function killShimOn(cluster: Cluster, node: string, app: App = "weft"): Promise<boolean> {
  const pid = await pidOn(cluster, node, app);
  if (pid === undefined) return false;
  // A container's first process is the shim's child.
  const { stdout } = await cluster.onNode(node, ["ps", "-o", "ppid=", "-p", String(pid)]);
  const parent = Number(stdout.trim());
  if (!(parent > 1)) return false;
  const { stdout: name } = await cluster.onNode(node, ["ps", "-o", "comm=", "-p", String(parent)]);
  assert.match(name, /containerd-shim/);
  await cluster.onNode(node, ["kill", "-9", String(parent)]);
  return true;
}

/** Waits until every agent (and operator) runs another process than before, where told so, and all are ready. */
export async function weftReady(cluster: Cluster, timeoutMs = 120_000): Promise<void> {
  await until("Weft to be ready", timeoutMs, async () => {
    const [agents, operators] = await Promise.all([weftPods(cluster), weftPods(cluster, "weft-operator")]);
    const nodes = agents.filter(({ ready }) => ready).map(({ node }) => node);
    return cluster.nodes.every((node) => nodes.includes(node)) && operators.some(({ ready }) => ready);
  });
}

/** Waits until the agent of a node is ready and another process than `pid`. */
export async function agentBack(cluster: Cluster, node: string, pid: number | undefined): Promise<void> {
  await until(`the agent of ${node} to be ready again`, 120_000, async () => {
    const now = await pidOn(cluster, node);
    if (now === undefined || now === pid) return false;
    const { stdout } = await cluster.onNode(node, ["curl", "-s", "-m", "2", "http://127.0.0.1:9879/readyz"]);
    return stdout.trim() === "ok";
  });
}

export async function deleteAgentPod(cluster: Cluster, node: string): Promise<void> {
  const pod = (await weftPods(cluster)).find((one) => one.node === node);
  assert.ok(pod, `there is an agent on ${node}`);
  await cluster.kubectl(["-n", namespace, "delete", "pod", pod.name, "--wait=true", "--timeout=60s"]);
}

export async function rollout(cluster: Cluster, what: string, timeoutSec = 180): Promise<void> {
  const args = ["-n", namespace, "rollout", "status", what, `--timeout=${timeoutSec}s`];
  await cluster.kubectl(args, { timeoutMs: (timeoutSec + 5) * 1_000 });
}

export function kubeSystem(cluster: Cluster, args: readonly string[]): Promise<string> {
  return cluster.kubectl(["-n", namespace, ...args]);
}

/** The log of a node's agent has a line about it since then, and not one a second. */
export async function agentSaid(
  cluster: Cluster,
  node: string,
  sinceMs: number,
  what: RegExp,
): Promise<void> {
  const agent = (await weftPods(cluster)).find((pod) => pod.node === node);
  assert.ok(agent);
  const since = `--since-time=${new Date(sinceMs).toISOString()}`;
  const lines = (await kubeSystem(cluster, ["logs", agent.name, since]))
    .split("\n")
    .filter((line) => what.test(line));
  console.log(lines.slice(0, 5).join("\n"));
  assert.ok(lines.length > 0, `the agent's log of ${node} says ${what}`);
  assert.ok(lines.length < 60, `${lines.length} lines about it`);
}
