// SPDX-License-Identifier: Apache-2.0
import { mkdirSync } from "node:fs";
import { writeCniConf } from "#agent/cni-conf.ts";
import { installCniPrograms } from "#agent/cni-program.ts";
import type { AgentConfig } from "#agent/config.ts";
import { agentPaths } from "#agent/paths.ts";
import type { EndpointManager } from "#endpoints/manager.ts";
import type { Flows } from "#flows/start.ts";
import { Ipam } from "#ipam/ipam.ts";
import { trimAllocator } from "#kernel/memory.ts";
import { aborted } from "#lib/clock.ts";
import { WeftError } from "#lib/errors.ts";
import { createHealth } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { startProbeServer } from "#lib/probes.ts";
import { releaseMemoryAfterMs, releaseStartMemory } from "#lib/release-memory.ts";
import { family } from "#model/ip.ts";
import { startPoolStatus } from "#nodes/pool-status.ts";
import { ownNodeChanged } from "#nodes/self.ts";
import { startAcceleration } from "./agent-acceleration.ts";
import { startLocalApi, startMetrics } from "./agent-answers.ts";
import { type AgentDeps, beginAgent } from "./agent-begin.ts";
import { startCni } from "./agent-cni.ts";
import { startControl } from "./agent-control.ts";
import { startEndpoints } from "./agent-endpoints.ts";
import { startAgentFlows } from "./agent-flows.ts";
import { liveness } from "./agent-health.ts";
import { startL2 } from "./agent-l2.ts";
import { mapFill } from "./agent-map-fill.ts";
import { startPrefilter } from "./agent-prefilter.ts";
import { firstState, Readiness, unreadState } from "./agent-ready.ts";
import { requireNode } from "./agent-requirements.ts";
import { startServiceHealth } from "./agent-services.ts";
import { familiesOf } from "./agent-settings.ts";
import { startSources } from "./agent-sources.ts";

/** The agent of one node, from start to stop; everything stops in the reverse of this order. */
export async function runAgent(config: AgentConfig, log: Logger, signal: AbortSignal): Promise<void> {
  const startedMs = performance.now();
  await using stack = new AsyncDisposableStack();
  const paths = agentPaths(config);
  requireNode(config, log);
  for (const dir of [config.runDir, config.stateDir]) mkdirSync(dir, { recursive: true, mode: 0o700 });
  const health = createHealth();
  const { add: addPulse, live } = liveness();
  const readiness = new Readiness();
  const { missing } = readiness;
  stack.use(await startProbeServer({ listen: config.health.listen, live, ready: missing }));
  installCniPrograms(config.cniBinDir, log);
  const deps = await beginAgent(stack, { config, paths, health, readiness, log, signal });
  const { tables, node, nodeDatapath } = deps;
  const { datapath } = nodeDatapath;

  // A thread takes a while to start: it does so while the rest is read.
  const flowsStarting = startAgentFlows(deps, signal);
  const control = stack.use(startControl(deps, signal));
  const settled = (id: string, until: AbortSignal) => control.endpointSettled(id, until);
  const endpoints = startEndpoints({ ...deps, clusterName: config.clusterName, settled });
  // Every pod has the new programs now: what the earlier ones wrote into maps that were replaced is complete.
  datapath.takeRest();
  const acceleration = stack.use(startAcceleration(deps));
  stack.use(startSources(deps, signal));
  stack.use(startL2(deps, signal));
  const prefilter = stack.use(startPrefilter(deps));
  const ipam = podAddresses(deps);
  const usage = () => ipam.usage();
  stack.use(
    startPoolStatus({ ...deps, ciliumNodes: tables.ciliumNodes, nodeName: node.name, usage, signal }),
  );
  readiness.waitFor(() => unreadState(tables));

  const isReady = () => missing() === undefined;
  const fill = mapFill(tables, nodeDatapath.prefilter, (map) => datapath.map(map).info.maxEntries);
  const answering = { maps: control.maps, fill, acceleration, prefilter, isReady, startedMs };
  stack.use(await startLocalApi(deps, answering));
  const flows = stack.use(await flowsStarting);
  addPulse({ name: "the flows thread", beat: () => flows.metrics.metrics() });
  stack.use(await startMetrics(deps, answering, flows));
  const healthy = () => isReady() && control.servicesFollow();
  stack.use(await startServiceHealth({ ...deps, healthy }, signal));
  stack.use(await startCni(deps, { ipam, endpoints, notReady: missing }, signal));

  await firstState(tables, control, { log, signal });
  if (signal.aborted) return;
  writeCniConf(config.cniConfDir, { socket: paths.cni, deletions: paths.cniDeletions });
  readiness.reached();
  const tookMs = Math.round(performance.now() - startedMs);
  log.info({ node: node.name, pid: process.pid, tookMs }, "ready");
  stack.use(releaseStartMemory(releaseMemoryAfterMs, trimAllocator));
  await untilStopped(deps, { endpoints, flows }, signal);
}

/** Addresses for this node's pods, of the families that are served. */
function podAddresses({ config, node }: AgentDeps): Ipam {
  const families = familiesOf(config);
  return new Ipam(node.podCidrs.filter((cidr) => families.includes(family(cidr))));
}

/** Pods' labels are followed meanwhile. @throws WeftError E_NODE_CHANGED when the node is not what it was; why the flows thread ended */
async function untilStopped(
  { config, node, tables }: AgentDeps,
  { endpoints, flows }: { readonly endpoints: EndpointManager; readonly flows: Flows },
  signal: AbortSignal,
): Promise<void> {
  const following = endpoints.followLabels(signal);
  const changed = ownNodeChanged(node, tables.nodes, { families: familiesOf(config), signal });
  const change = await Promise.race([aborted(signal), flows.ended, changed]);
  if (typeof change === "string")
    throw new WeftError("E_NODE_CHANGED", change, { hint: "the agent starts again with what it is now" });
  await following;
}
