// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createKubeClient, type KubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { cgroupRoot, createCgroup } from "#kernel/cgroup.ts";
import { NETNS_DIR } from "#kernel/netns.ts";
import { installRoot } from "#lib/assets.ts";

const run = promisify(execFile);
const manifests = fileURLToPath(new URL("lab.yaml", import.meta.url));

export interface LabOptions {
  /** `WEFT_LAB` of the lab. */
  readonly name: string;
  readonly routing: "tunnel" | "native";
  /** Default 2. */
  readonly nodes?: number;
  /** Of the agents: `policy.audit=true`. */
  readonly settings?: readonly string[];
  /** Instead of `lab.yaml`. */
  readonly manifests?: string;
  readonly signal: AbortSignal;
}

export interface BenchPod {
  /** Path of its network namespace. */
  readonly netns: string;
  readonly ip: string;
}

/** A lab of two nodes with the pods of `lab.yaml`, flows on. Disposing takes it down. */
export interface BenchLab extends AsyncDisposable {
  readonly name: string;
  readonly kubeconfig: string;
  readonly client: KubeClient;
  /** A pod of the namespace `bench`. */
  pod(name: string): BenchPod;
  /** cgroup2 directory inside a node's, so that the socket hooks see who is in it. */
  cgroup(node: string): string;
  agentPid(node: string): number;
  weft(...args: string[]): Promise<string>;
}

/** The one endpoint of a Service of `lab.yaml`, as its EndpointSlice. */
export function endpointSlice(service: string, ip: string, port: number) {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: service, namespace: "bench", labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: [{ addresses: [ip], conditions: { ready: true } }],
    ports: [
      { name: "tcp", port, protocol: "TCP" },
      { name: "udp", port, protocol: "UDP" },
    ],
  };
}

interface StatusJson {
  readonly kubeconfig: string;
  readonly pods: readonly {
    readonly namespace: string;
    readonly name: string;
    readonly ips: readonly string[];
  }[];
}

/** Brings the lab up with the command people use. What an earlier run left under this name goes first. */
export async function startLab({ name, routing, signal, ...more }: LabOptions): Promise<BenchLab> {
  const weft = async (...args: string[]) => {
    const options = { env: { ...process.env, WEFT_LAB: name }, timeout: 120_000, maxBuffer: 16 << 20 };
    return (await run(join(installRoot(), "weft"), args, { ...options })).stdout;
  };
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => void (await weft("lab", "down")));
  await weft(
    "lab",
    "up",
    "--detach",
    "--nodes",
    String(more.nodes ?? 2),
    "--families",
    "v4",
    "--routing",
    routing,
    "-f",
    more.manifests ?? manifests,
    ...(more.settings ?? []).flatMap((setting) => ["--set", setting]),
  );
  signal.throwIfAborted();
  const status = JSON.parse(await weft("lab", "status", "-o", "json")) as StatusJson;
  const client = stack.use(
    createKubeClient(await loadCredentials(status.kubeconfig), { userAgent: "weft-bench" }),
  );
  const prefix = `weft-${name}-lab`;
  const kept = stack.move();
  return {
    name,
    kubeconfig: status.kubeconfig,
    client,
    pod: (pod) => {
      const row = status.pods.find((one) => one.namespace === "bench" && one.name === pod);
      const netns = readdirSync(NETNS_DIR).find((file) =>
        /^[0-9a-f]{5}$/.test(rest(file, `${prefix}-p-${pod}-`)),
      );
      if (!row?.ips[0] || !netns) throw new Error(`lab ${name} has no pod ${pod}`);
      return { netns: join(NETNS_DIR, netns), ip: row.ips[0] };
    },
    cgroup: (node) => createCgroup(`${prefix}/${node}/bench`, cgroupRoot()),
    agentPid: (node) => {
      const file = join(cgroupRoot(), prefix, node, "agent", "cgroup.procs");
      return Number(readFileSync(file, "utf8").split("\n")[0]);
    },
    weft,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function rest(text: string, start: string): string {
  return text.startsWith(start) ? text.slice(start.length) : "";
}
