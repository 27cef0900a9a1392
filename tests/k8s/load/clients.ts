// SPDX-License-Identifier: Apache-2.0
/** Clients in a pod, on a node and outside that never stop, and what they lost in an interval. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Cluster } from "../cluster/cluster.ts";
import { inNamespace } from "../cluster/network.ts";
import { until } from "../cluster/until.ts";
import { deniedFlows, nodeFlows, outsideFlows, podFlows, type Targets } from "./flows.ts";
import { loadImageArchive, loadProgram } from "./image.ts";
import { loadNamespace, podObject, serverObjects } from "./manifests.ts";
import { type FlowReport, type FlowSecond, type Interval, parseSeconds, reportFlows } from "./report.ts";

export interface LoadClients extends AsyncDisposable {
  readonly targets: Targets;
  /** What every flow sent and lost in the interval, once that is known: some seconds after its end. */
  report(interval: Interval): Promise<FlowReport[]>;
}

/** An answer may take 10 s; then the second is printed. */
export const SETTLES_MS = 11_500;
const podClients = ["client", "node-client", "stranger"] as const;

/**
 * Servers on two nodes, clients and a stranger on the first of them, a client outside; returns when every allowed flow gets answers.
 * @throws WeftError E_TIMEOUT naming the flows that get none
 */
export async function startLoad(cluster: Cluster): Promise<LoadClients> {
  const [near = "", far = ""] = cluster.nodes;
  await importImage(cluster, loadImageArchive());
  // An earlier load's namespace may still be going.
  const gone = ["--ignore-not-found", "--wait=true", "--timeout=90s"];
  await cluster.kubectl(["delete", "namespace", loadNamespace, ...gone], { timeoutMs: 100_000 });
  await applyAll(cluster, serverObjects([near, far]));
  await ready(cluster);
  const targets = await findTargets(cluster, [near, far]);
  await applyAll(cluster, [
    podObject({ name: "client", node: near, app: "client", args: ["run", ...podFlows(targets)] }),
    podObject({
      name: "node-client",
      node: near,
      app: "node-client",
      args: ["run", ...nodeFlows(targets)],
      hostNetwork: true,
    }),
    podObject({ name: "stranger", node: near, app: "stranger", args: ["run", ...deniedFlows(targets)] }),
  ]);
  await ready(cluster);
  const outside = startOutside(cluster, outsideFlows(targets));
  const report = async (interval: Interval) => {
    const seconds = await settled(cluster, outside, interval);
    return reportFlows(seconds, interval);
  };
  try {
    await allAnswer(report);
  } catch (error) {
    outside.stop();
    throw error;
  }
  return {
    targets,
    report,
    async [Symbol.asyncDispose]() {
      outside.stop();
      await cluster.kubectl(["delete", "namespace", loadNamespace, "--ignore-not-found", "--wait=false"]);
    },
  };
}

export async function importImage(cluster: Cluster, archive: string): Promise<void> {
  for (const node of cluster.nodes) {
    const { code, stderr } = await cluster.onNode(node, ["ctr", "-n", "k8s.io", "images", "import", archive]);
    if (code !== 0) throw new Error(`${node}: import of ${archive}: ${stderr}`);
  }
}

async function applyAll(cluster: Cluster, items: readonly object[]): Promise<void> {
  await cluster.apply({ apiVersion: "v1", kind: "List", items });
}

async function ready(cluster: Cluster): Promise<void> {
  const args = ["-n", loadNamespace, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s"];
  await cluster.kubectl(args, { timeoutMs: 100_000 });
}

async function findTargets(cluster: Cluster, [near, far]: readonly [string, string]): Promise<Targets> {
  const read = (args: readonly string[], path: string) =>
    cluster.kubectl(["get", ...args, "-o", `jsonpath=${path}`]);
  const podIp = (name: string) => read(["-n", loadNamespace, "pod", name], "{.status.podIP}");
  const nodeIp = (name: string) =>
    read(["node", name], "{.status.addresses[?(@.type=='InternalIP')].address}");
  const servers = async (node: string) => ({
    echo: await podIp(`echo-${node}`),
    guarded: await podIp(`guarded-${node}`),
  });
  return {
    near: await servers(near),
    far: await servers(far),
    service: await read(["-n", loadNamespace, "service", "echo"], "{.spec.clusterIP}"),
    dns: await read(["-n", "kube-system", "service", "kube-dns"], "{.spec.clusterIP}"),
    nearNode: (await nodeIp(near)).split(" ")[0]!,
    farNode: (await nodeIp(far)).split(" ")[0]!,
  };
}

export interface Outside {
  /** What it printed up to now, as {@link parseSeconds} reads it. */
  output(): string;
  stop(): void;
}

/** Runs flows on the host outside until it is stopped. */
export function startOutside(cluster: Cluster, flows: readonly string[]): Outside {
  const argv = inNamespace(cluster.layout.outsideNetns, [loadProgram(), "run", ...flows]);
  const child: ChildProcess = spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    // Of an hour more than any test asks for.
    output = (output + chunk).slice(-(64 << 20));
  });
  const stop = () => void child.kill("SIGTERM");
  process.once("exit", stop);
  return { output: () => output, stop };
}

/** Waits until what was sent in the interval is accounted for. */
async function settled(cluster: Cluster, outside: Outside, interval: Interval): Promise<FlowSecond[]> {
  const since = new Date(Math.floor(interval.fromMs / 1_000) * 1_000).toISOString();
  return await until("the clients to report", 30_000 + SETTLES_MS, async () => {
    if (Date.now() < interval.toMs + SETTLES_MS) return undefined;
    const logs = await Promise.all(
      podClients.map((pod) => cluster.kubectl(["-n", loadNamespace, "logs", pod, `--since-time=${since}`])),
    );
    const seconds = [...logs, outside.output()].map(parseSeconds);
    const end = Math.floor(interval.toMs / 1_000) * 1_000;
    return seconds.every((rows) => rows.some(({ at }) => at >= end)) && seconds.flat();
  });
}

/** A new Service takes a moment to be everywhere: the control at rest begins when all is answered. */
async function allAnswer(report: (interval: Interval) => Promise<FlowReport[]>): Promise<void> {
  let silent: string[] = [];
  for (let attempt = 0; attempt < 5; attempt++) {
    const toMs = Date.now();
    const reports = (await report({ fromMs: toMs - 1_000, toMs })).filter(
      ({ flow }) => !flow.startsWith("denied/"),
    );
    silent = reports.filter(({ lost, received }) => lost > 0 || received === 0).map(({ flow }) => flow);
    if (silent.length === 0) return;
  }
  throw new Error(`flows that get no answer at rest: ${silent.join(", ")}`);
}
