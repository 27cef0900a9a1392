// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupRoot } from "#kernel/cgroup.ts";
import { hasErrno } from "#kernel/errno.ts";
import { mountBpffs } from "#kernel/mounts.ts";
import { netnsPath } from "#kernel/netns.ts";
import { listenTcp } from "#kernel/socket.ts";
import { nodeArguments } from "#lib/assets.ts";
import type { Logger } from "#lib/log.ts";
import { parseAddress } from "#model/ip.ts";
import { type AgentSettings, agentConfig, operatorConfig } from "./agent-config.ts";
import { advertise } from "./apiserver/bootstrap.ts";
import { type ApiServer, startApiServer } from "./apiserver/server.ts";
import { cleanup } from "./cleanup.ts";
import type { Cluster } from "./cluster.ts";
import { startControllers } from "./controllers/start.ts";
import { createFabric, gatewayOf } from "./fabric.ts";
import type { LabNodeConfig } from "./kubelet/run.ts";
import { createKubeletClient } from "./kubelet-client.ts";
import {
  API_PORT,
  HOST_API_PORT,
  type LabPlan,
  type LabShape,
  type NodePlan,
  planLab,
  STATE_DIR,
  statePaths,
  WORLD,
} from "./layout.ts";
import { startMetrics } from "./metrics.ts";
import { type Supervised, superviseProcess } from "./processes.ts";
import { type LabProgress, timedStep } from "./progress.ts";
import { processStartTicks, writeRecord } from "./record.ts";
import { seedCluster } from "./seed.ts";
import { storeCluster } from "./store-cluster.ts";
import { startWorld } from "./world.ts";

const loopback = parseAddress("127.0.0.1");

export interface LabOptions {
  readonly shape: LabShape;
  readonly imageMap?: string;
  /** Of all agents, beside what the lab itself says. */
  readonly settings?: AgentSettings;
  /** Instead of the installation's own: for tests of the lab without an agent. */
  readonly cniBinDirs?: readonly string[];
  /** False: no agents (somebody else writes the CNI configuration). */
  readonly agents?: boolean;
}

export interface LabDeps {
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly progress?: LabProgress;
}

export interface NodeProcesses {
  readonly plan: NodePlan;
  readonly agent: Supervised | undefined;
  readonly kubelet: Supervised;
  /** On the first node, as a pod of the host's network would. */
  readonly operator?: Supervised;
}

/** A lab that runs. Disposing takes everything of it down. */
export interface Lab extends AsyncDisposable {
  readonly plan: LabPlan;
  readonly cluster: Cluster;
  readonly api: ApiServer;
  /** `https://127.0.0.1:16443` */
  readonly apiUrl: string;
  readonly nodes: readonly NodeProcesses[];
  /** Metrics of all agents, each sample with its node, on the machine's loopback. */
  readonly metricsUrl: string;
}

/**
 * Brings a lab up, up to the point where its nodes start: fabric, API server, controllers, agents, kubelets. What an
 * earlier lab left is removed first.
 */
export async function startLab(options: LabOptions, deps: LabDeps): Promise<Lab> {
  const { signal, log } = deps;
  const plan = planLab(options.shape);
  const step = <T>(name: string, work: () => Promise<T>) => timedStep(deps.progress, name, work);
  await using stack = new AsyncDisposableStack();
  await step("clean up", async () => cleanup(signal));
  stack.defer(async () => {
    await cleanup(new AbortController().signal);
  });
  await step("fabric", async () => {
    for (const node of plan.nodes) makeDirs(node);
    writeRecord({
      pid: process.pid,
      startTicks: processStartTicks(process.pid) ?? 0,
      shape: options.shape,
      api: "",
    });
    mountBpffs();
    createFabric(plan);
  });
  const api = await step("API server", async () => startApi(plan, options.shape, signal));
  stack.defer(() => api.server.close());
  const cluster = storeCluster(api.server);
  await step("controllers", async () => {
    await seedCluster(cluster, plan);
    startControllers(cluster, { log, signal, nodes: plan.nodes.length });
  });
  const nodes: NodeProcesses[] = [];
  stack.defer(async () => {
    // Kubelets and agents at the same time: nothing of theirs has to outlive the other when all goes.
    await Promise.all(
      nodes
        .flatMap(({ agent, kubelet, operator }) => [agent, kubelet, operator])
        .map((one) => one?.[Symbol.asyncDispose]()),
    );
  });
  await step("nodes", async () => {
    for (const node of plan.nodes) nodes.push(startNode(plan, node, { options, log }));
    stack.use(await startWorld(plan));
  });
  const metrics = stack.use(await startMetrics(plan));
  const kept = stack.move();
  return {
    plan,
    cluster,
    api: api.server,
    apiUrl: api.url,
    nodes,
    metricsUrl: metrics.url,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function makeDirs(node: NodePlan): void {
  mkdirSync(STATE_DIR, { recursive: true, mode: 0o755 });
  for (const dir of [node.dir, node.runDir, node.stateDir, node.cniConfDir])
    mkdirSync(dir, { recursive: true, mode: 0o750 });
}

/** Listens on the machine's loopback for kubectl and on the fabric's gateway for nodes and pods. */
async function startApi(
  plan: LabPlan,
  shape: LabShape,
  signal: AbortSignal,
): Promise<{ server: ApiServer; url: string }> {
  const netns = netnsPath(WORLD);
  const options = {
    users: [{ name: "weft-lab", groups: ["system:masters"], token: randomBytes(24).toString("base64url") }],
    names: plan.gateways,
    serviceCidrs: plan.serviceCidrs,
    kubelet: createKubeletClient(plan),
    signal,
  };
  const fabric = plan.gateways.map((gateway) => listenTcp(gateway, API_PORT, { netns, v6Only: true }));
  const server = await startApiServer({
    ...options,
    listen: [listenOnHost(), ...fabric].map((fd) => ({ fd })),
  });
  const url = `https://127.0.0.1:${server.addresses[0]?.port}`;
  advertise(server.store, server.catalog, plan.gateways, API_PORT);
  writeSecret(statePaths.kubeconfig, server.kubeconfig(url));
  for (const node of plan.nodes) {
    const gateway = gatewayOf(plan, node.addresses[0]!);
    const host = gateway.includes(":") ? `[${gateway}]` : gateway;
    writeSecret(node.kubeconfig, server.kubeconfig(`https://${host}:${API_PORT}`));
  }
  writeRecord({ pid: process.pid, startTicks: processStartTicks(process.pid) ?? 0, shape, api: url });
  return { server, url };
}

/** Another lab may have the usual port: then any will do, the kubeconfig says which. */
function listenOnHost(): number {
  try {
    return listenTcp(loopback, HOST_API_PORT);
  } catch (error) {
    if (!hasErrno(error, "EADDRINUSE")) throw error;
    return listenTcp(loopback, 0);
  }
}

function writeSecret(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
  chmodSync(path, 0o600);
}

function startNode(
  plan: LabPlan,
  node: NodePlan,
  { options, log }: { options: LabOptions; log: Logger },
): NodeProcesses {
  const cgroup = join(cgroupRoot(), node.cgroup);
  const netns = netnsPath(node.netns);
  writeFileSync(node.agentConfig, agentConfig(plan, node, options.settings));
  const config: LabNodeConfig = {
    shape: options.shape,
    node: node.name,
    ...(options.imageMap && { imageMap: options.imageMap }),
    ...(options.cniBinDirs && { cniBinDirs: options.cniBinDirs }),
  };
  writeFileSync(node.nodeConfig, JSON.stringify(config));
  const run = (name: string, program: string, spec: { file: string; log: string }) =>
    superviseProcess(
      {
        name: `${node.name}/${name}`,
        argv: [process.execPath, ...nodeArguments(program, `src/main/${program}.ts`), "--config", spec.file],
        netns,
        cgroup: join(cgroup, name),
        logFile: spec.log,
      },
      { log },
    );
  const withOperator = options.agents !== false && node.index === 1;
  if (withOperator) writeFileSync(node.operatorConfig, operatorConfig(node, options.settings));
  const operator = { file: node.operatorConfig, log: node.operatorLog };
  return {
    plan: node,
    kubelet: run("kubelet", "lab-node", { file: node.nodeConfig, log: node.nodeLog }),
    agent:
      options.agents === false
        ? undefined
        : run("agent", "agent", { file: node.agentConfig, log: node.agentLog }),
    ...(withOperator && { operator: run("operator", "operator", operator) }),
  };
}
