// SPDX-License-Identifier: Apache-2.0
import { type Flows, startFlows } from "#flows/start.ts";
import { parseListen } from "#lib/metrics.ts";
import type { AgentDeps } from "./agent-begin.ts";

/** The flows thread, on its way: who awaits it hears why it did not start. */
export function startAgentFlows(deps: AgentDeps, signal: AbortSignal): Promise<Flows> {
  const { config, paths, version, tables, nodeDatapath, log } = deps;
  const starting = startFlows({
    tables: { ...tables, rules: tables.policyRules },
    ringMap: nodeDatapath.datapath.map("events"),
    lostMap: nodeDatapath.datapath.map("events_lost"),
    listen: { unix: paths.observer, tcp: parseListen(config.observer.listen) },
    nodeName: config.nodeName,
    clusterName: config.clusterName,
    version,
    capacity: config.flowBuffer,
    interfaces: nodeDatapath.interfaces,
    onLost: (lost) => log.warn({ lost }, "flow events were lost: the flows thread did not keep up"),
    signal,
  });
  starting.catch(() => {});
  return starting;
}
