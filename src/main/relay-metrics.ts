// SPDX-License-Identifier: Apache-2.0
import { createRegistry, Gauge, type Registry } from "#lib/metrics.ts";

/** What the relay knows of the agents. */
export interface Reach {
  /** Undefined: the API server has not said yet. */
  nodes: number | undefined;
  connected: number;
  unavailable: readonly string[];
}

/** The relay's own metrics: its process, and which agents it reaches. */
export function relayMetrics(reach: Reach): Registry {
  const registry = createRegistry();
  new Gauge({
    name: "weft_relay_nodes",
    help: "Nodes by whether their agents answer: connected, unavailable",
    labelNames: ["state"],
    registers: [registry],
    collect() {
      this.set({ state: "connected" }, reach.connected);
      this.set({ state: "unavailable" }, reach.unavailable.length);
    },
  });
  return registry;
}
