// SPDX-License-Identifier: Apache-2.0
import type { AgentStatus, MapFill } from "#agent/api.ts";
import type { AgentConfig } from "#agent/config.ts";
import type { AccelerationCounts } from "#datapath/accelerate.ts";
import type { Health } from "#lib/health.ts";
import type { Node } from "#nodes/node.ts";
import type { Acceleration } from "./agent-acceleration.ts";
import type { AgentTables } from "./agent-tables.ts";

export interface StatusDeps {
  readonly config: AgentConfig;
  readonly tables: AgentTables;
  readonly health: Health;
  readonly node: Node;
  readonly ready: boolean;
  readonly startedMs: number;
  readonly version: string;
  readonly maps: readonly MapFill[];
  readonly mapBytes: number;
  readonly acceleration: Pick<Acceleration, "setting" | "counts">;
}

/** What `weft status` shows of this agent. */
export function agentStatus(deps: StatusDeps): AgentStatus {
  const { config, tables, health, node, acceleration } = deps;
  const refused = [...tables.policies.all()].filter((policy) => policy.refused).length;
  return {
    node: node.name,
    version: deps.version,
    pid: process.pid,
    ready: deps.ready,
    uptimeSec: Math.round((performance.now() - deps.startedMs) / 1000),
    rssBytes: process.memoryUsage.rss(),
    settings: {
      routing: config.routing,
      families: config.families,
      masquerade: config.masquerade ? "on" : "off",
      flows: config.flows ? "on" : "off",
      address: node.addresses.join(" "),
      pods: node.podCidrs.join(" "),
      acceleration: acceleration.setting,
    },
    health: health.rows().map((row) => ({
      name: row.name,
      ok: row.level === "ok",
      text: row.message === "" ? row.level : row.message,
      level: row.level,
      sinceMs: row.sinceMs,
    })),
    counts: {
      endpoints: tables.endpoints.size,
      identities: tables.identities.size,
      policies: tables.policies.size,
      "refused policies": refused,
      frontends: tables.frontends.size,
      nodes: tables.nodes.size,
      "ipcache entries": tables.ipcache.size,
      ...(config.l2Announcements.enabled && { "announced addresses": tables.l2Announcements.size }),
      ...accelerated(acceleration.counts()),
    },
    maps: deps.maps,
    mapBytes: deps.mapBytes,
  };
}

function accelerated(counts: AccelerationCounts | undefined): Record<string, number> {
  if (!counts) return {};
  return {
    "messages past the network": Number(counts.past.packets),
    "messages left to it": Number(counts.through.packets),
  };
}
