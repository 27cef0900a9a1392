// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "#agent/config.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { startHealthChecks } from "#services/health-checks.ts";
import { startNodeHealth } from "#services/node-health.ts";
import type { AgentTables } from "./agent-tables.ts";

export interface ServiceHealthDeps {
  readonly config: AgentConfig;
  readonly tables: AgentTables;
  /** Whether the load balancer's maps follow the cluster. */
  healthy(): boolean;
  readonly health: Health;
  readonly log: Logger;
}

/** kube-proxy's: tools know no other. */
const statusListen = "127.0.0.1:10249";

/** What load balancers ask of a node. A port that is taken does not keep the node from serving pods. */
export async function startServiceHealth(
  { config, tables, healthy, health, log }: ServiceHealthDeps,
  signal: AbortSignal,
): Promise<AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  const listen = config.services.healthListen;
  const eligible = () => [...tables.nodes.all()].some((node) => node.self && node.leaving !== true);
  try {
    if (listen) stack.use(await startNodeHealth({ listen, statusListen, healthy, eligible }));
    health.set("node-health", "ok", listen);
  } catch (error) {
    const hint = error instanceof WeftError ? error.hint : undefined;
    log.warn({ error: errorText(error), hint }, "load balancers cannot ask for this node's health");
    health.set("node-health", "degraded", errorText(error));
  }
  stack.use(startHealthChecks({ healthChecks: tables.healthChecks, healthy, health, log }, signal));
  return stack;
}
