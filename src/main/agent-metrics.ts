// SPDX-License-Identifier: Apache-2.0
import type { MapFill } from "#agent/api.ts";
import { mapWrites } from "#kernel/bpf/map-writes.ts";
import type { Health } from "#lib/health.ts";
import { Counter, createRegistry, Gauge, type Registry } from "#lib/metrics.ts";
import type { Prefilter } from "#prefilter/prefilter.ts";
import type { Acceleration } from "./agent-acceleration.ts";

export interface AgentMetricsDeps {
  readonly health: Health;
  maps(): readonly MapFill[];
  /** Kernel memory of each map, bytes, without the maps it holds. */
  mapMemory(): Iterable<readonly [map: string, bytes: number]>;
  /** Addresses this node answers for. */
  announced(): number;
  readonly acceleration: Pick<Acceleration, "counts">;
  readonly prefilter: Pick<Prefilter, "size" | "dropped">;
}

/** The agent's own metrics: its process, what it wrote to the kernel, how full its maps are, how its parts fare. */
export function agentMetrics({
  health,
  maps,
  mapMemory,
  announced,
  acceleration,
  prefilter,
}: AgentMetricsDeps): Registry {
  const registry = createRegistry();
  new Counter({
    name: "weft_map_writes_total",
    help: "Elements of BPF maps the agent has written since it started",
    labelNames: ["map", "operation"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [map, { updates, deletes }] of mapWrites()) {
        this.inc({ map, operation: "update" }, updates);
        this.inc({ map, operation: "delete" }, deletes);
      }
    },
  });
  new Gauge({
    name: "weft_map_fill_ratio",
    help: "How full a BPF map is that refuses what does not fit, 0 to 1",
    labelNames: ["map"],
    registers: [registry],
    collect() {
      for (const { name, entries, maxEntries } of maps()) this.set({ map: name }, entries / maxEntries);
    },
  });
  new Gauge({
    name: "weft_map_memory_bytes",
    help: "Kernel memory of a BPF map, without the maps it holds",
    labelNames: ["map"],
    registers: [registry],
    collect() {
      for (const [map, bytes] of mapMemory()) this.set({ map }, bytes);
    },
  });
  new Gauge({
    name: "weft_health",
    help: "1 for a part of the agent that is well, 0 for one that is not",
    labelNames: ["part"],
    registers: [registry],
    collect() {
      for (const { name, level } of health.rows()) this.set({ part: name }, level === "ok" ? 1 : 0);
    },
  });
  new Gauge({
    name: "weft_l2_announcements",
    help: "Addresses of services that this node answers for on the wire, once for each device",
    registers: [registry],
    collect() {
      this.set(announced());
    },
  });
  accelerationMetrics(registry, acceleration);
  prefilterMetrics(registry, prefilter);
  return registry;
}

function prefilterMetrics(registry: Registry, prefilter: AgentMetricsDeps["prefilter"]): void {
  new Gauge({
    name: "weft_prefilter_cidrs",
    help: "CIDRs whose packets end at the node's device",
    registers: [registry],
    collect() {
      this.set(prefilter.size);
    },
  });
  for (const what of ["packets", "bytes"] as const)
    new Counter({
      name: `weft_prefilter_dropped_${what}_total`,
      help: `${what === "packets" ? "Packets" : "Bytes of packets"} that the prefilter dropped`,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(prefilter.dropped()[what]);
      },
    });
}

/** What is counted in the kernel, where agents that come back go on counting. */
function accelerationMetrics(registry: Registry, { counts }: AgentMetricsDeps["acceleration"]): void {
  for (const [name, help, field] of [
    [
      "weft_sockmap_messages_total",
      "Messages of pods' sockets that may go past the network, by the way they went",
      "packets",
    ],
    ["weft_sockmap_bytes_total", "Bytes of these messages, by the way they went", "bytes"],
  ] as const)
    new Counter({
      name,
      help,
      labelNames: ["way"],
      registers: [registry],
      collect() {
        this.reset();
        const now = counts();
        if (!now) return;
        this.inc({ way: "past" }, Number(now.past[field]));
        this.inc({ way: "network" }, Number(now.through[field]));
      },
    });
}
