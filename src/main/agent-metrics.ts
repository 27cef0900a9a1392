// SPDX-License-Identifier: Apache-2.0
import type { MapFill } from "#agent/api.ts";
import { mapWrites } from "#kernel/bpf/map-writes.ts";
import type { Health } from "#lib/health.ts";
import { Counter, createRegistry, Gauge, type Registry } from "#lib/metrics.ts";

/** The agent's own metrics: its process, what it wrote to the kernel, how full its maps are, how its parts fare. */
export function agentMetrics(
  health: Health,
  maps: () => readonly MapFill[],
  announced: () => number = () => 0,
): Registry {
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
  return registry;
}
