// SPDX-License-Identifier: Apache-2.0
import type { Health } from "#lib/health.ts";
import { createRegistry, Gauge, type Registry } from "#lib/metrics.ts";
import type { LbIpam } from "./lb-ipam.ts";
import { addLbIpamMetrics } from "./lb-ipam-metrics.ts";

export interface OperatorState {
  readonly leads: boolean;
  /** While it works. */
  readonly lbIpam?: LbIpam | undefined;
}

/** The operator's own metrics: its process, whether it leads, how its parts fare, load-balancer addresses. */
export function operatorMetrics(health: Health, state: OperatorState): Registry {
  const registry = createRegistry();
  new Gauge({
    name: "weft_operator_leader",
    help: "1 for the operator that works, 0 for one that stands by",
    registers: [registry],
    collect() {
      this.set(state.leads ? 1 : 0);
    },
  });
  new Gauge({
    name: "weft_health",
    help: "1 for a part of the operator that is well, 0 for one that is not",
    labelNames: ["part"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { name, level } of health.rows()) this.set({ part: name }, level === "ok" ? 1 : 0);
    },
  });
  addLbIpamMetrics(registry, () => state.lbIpam);
  return registry;
}
