// SPDX-License-Identifier: Apache-2.0
import { type MapFill, startAgentApi } from "#agent/api.ts";
import type { DatapathMaps } from "#datapath/maps.ts";
import type { Flows } from "#flows/start.ts";
import { mapMemory } from "#kernel/bpf/map-memory.ts";
import { startMetricsServer } from "#lib/metrics.ts";
import type { Acceleration } from "./agent-acceleration.ts";
import type { AgentDeps } from "./agent-begin.ts";
import { mapBytes, mapsDump } from "./agent-map-memory.ts";
import { agentMaps } from "./agent-maps.ts";
import { agentMetrics } from "./agent-metrics.ts";
import type { startPrefilter } from "./agent-prefilter.ts";
import { serviceBackendsView } from "./agent-service-view.ts";
import { familiesOf } from "./agent-settings.ts";
import { agentStatus } from "./agent-status.ts";

/** What answers are made of, besides what every part has. */
export interface Answering {
  /** The kernel's maps, as the control has them open. */
  readonly maps: DatapathMaps;
  fill(): readonly MapFill[];
  readonly acceleration: Acceleration;
  readonly prefilter: ReturnType<typeof startPrefilter>;
  isReady(): boolean;
  readonly startedMs: number;
}

/** What the command asks of a running agent. */
export function startLocalApi(deps: AgentDeps, answering: Answering): Promise<AsyncDisposable> {
  const { config, paths, version, tables, nodeDatapath } = deps;
  const { datapath } = nodeDatapath;
  const { maps, fill, acceleration, prefilter, startedMs } = answering;
  return startAgentApi({
    socketPath: paths.api,
    db: tables.db,
    status: () =>
      agentStatus({
        ...deps,
        acceleration,
        ready: answering.isReady(),
        startedMs,
        version,
        maps: fill(),
        mapBytes: mapBytes(datapath),
      }),
    maps: { ...agentMaps(maps, datapath, tables), maps: mapsDump(datapath, fill) },
    views: {
      "service-backends": serviceBackendsView(tables, familiesOf(config), config),
      prefilter: prefilter.view,
    },
    actions: { prefilter: prefilter.change },
  });
}

/** The agent's metrics and its flows thread's, at one address. */
export function startMetrics(
  { config, health, tables, nodeDatapath: { datapath, prefilter } }: AgentDeps,
  { fill, acceleration }: Answering,
  flows: Flows,
): Promise<AsyncDisposable> {
  const own = agentMetrics({
    health,
    maps: fill,
    mapMemory: () => datapath.maps.entries().map(([name, map]) => [name, mapMemory(map)] as const),
    announced: () => tables.l2Announcements.size,
    acceleration,
    prefilter,
  });
  return startMetricsServer({ listen: config.metrics.listen, registries: [own, flows.metrics] });
}
