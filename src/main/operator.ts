// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { runElection } from "#election/leader.ts";
import { createKubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { aborted } from "#lib/clock.ts";
import { createHealth, type Health } from "#lib/health.ts";
import { startJob } from "#lib/jobs.ts";
import type { Logger } from "#lib/log.ts";
import { startMetricsServer } from "#lib/metrics.ts";
import { startProbeServer } from "#lib/probes.ts";
import { releaseMemoryAfterMs, releaseStartMemory } from "#lib/release-memory.ts";
import { operatorLease } from "#model/leases.ts";
import { loadOperatorConfig, type OperatorConfig } from "#operator/config.ts";
import type { LbIpam } from "#operator/lb-ipam.ts";
import { operatorMetrics } from "#operator/metrics.ts";
import { leaderWork } from "./operator-work.ts";
import { installedVersion, runProgram } from "./program.ts";

/** The operator, from start to stop: it answers probes, stands for election, and works while it leads. */
async function run(config: OperatorConfig, log: Logger, signal: AbortSignal): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const health = createHealth();
  const credentials = await loadCredentials(config.kubeconfig, { apiServer: config.apiServer });
  const client = stack.use(
    createKubeClient(credentials, { userAgent: `weft-operator/${installedVersion()}` }),
  );
  const state = { leads: false, ready: false, lbIpam: undefined as LbIpam | undefined };
  stack.use(
    await startProbeServer({
      listen: config.health.listen,
      live: () => undefined,
      ready: () => notReady(health, state),
    }),
  );
  stack.use(
    await startMetricsServer({
      listen: config.metrics.listen,
      registries: [operatorMetrics(health, state)],
    }),
  );
  stack.use(releaseStartMemory(releaseMemoryAfterMs));
  await runElection({
    client,
    namespace: process.env.POD_NAMESPACE ?? "kube-system",
    name: operatorLease,
    identity: `${process.env.POD_NAME ?? hostname()}_${randomUUID()}`,
    leaseMs: 15_000,
    renewMs: 10_000,
    retryMs: 2_000,
    signal,
    health,
    log,
    async lead(leading) {
      state.leads = true;
      await using _ = startJob({
        name: "operator",
        signal: leading,
        health,
        log,
        run: (until, ok) =>
          leaderWork({ config, client, health, log, state }, until, () => {
            state.ready = true;
            ok("at work");
          }),
      });
      await aborted(leading);
      state.leads = state.ready = false;
    },
  });
}

/** A candidate is ready when it has seen the lease: it can take over. A leader is when its work is under way. */
function notReady(
  health: Health,
  state: { readonly leads: boolean; readonly ready: boolean },
): string | undefined {
  const rows = health.rows();
  if (state.leads) {
    if (state.ready) return undefined;
    return rows.find(({ name }) => name === "operator")?.message || "the leader's work is starting";
  }
  const leader = rows.find(({ name }) => name === "leader");
  return leader?.level === "ok" ? undefined : (leader?.message ?? "the lease has not been read yet");
}

await runProgram({
  name: "weft-operator",
  about:
    "What a cluster needs once: definitions, addresses of nodes, identities, and cleaning up after what is gone.",
  config: "/etc/weft/operator.yaml",
  run: (path, log, signal) => run(loadOperatorConfig(path), log, signal),
});
