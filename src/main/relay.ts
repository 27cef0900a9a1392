// SPDX-License-Identifier: Apache-2.0
import { type FanIn, startFanIn } from "#flows/fan-in.ts";
import type { ListenAddress } from "#flows/messages.ts";
import { loadRelayConfig, type RelayConfig } from "#flows/relay-config.ts";
import { createKubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { aborted, pause } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import { createHealth } from "#lib/health.ts";
import { startJob } from "#lib/jobs.ts";
import type { Logger } from "#lib/log.ts";
import { parseListen, startMetricsServer } from "#lib/metrics.ts";
import { startProbeServer } from "#lib/probes.ts";
import { releaseMemoryAfterMs, releaseStartMemory } from "#lib/release-memory.ts";
import { followAgentNodes } from "#live/agent-nodes.ts";
import { installedVersion, runProgram } from "./program.ts";
import { type Reach, relayMetrics } from "./relay-metrics.ts";

const checkMs = 10_000;

/** The relay, from start to stop: one observer over the agents of all nodes, which it finds by their pods. */
async function run(config: RelayConfig, log: Logger, signal: AbortSignal): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const version = installedVersion();
  const health = createHealth();
  const reach: Reach = { nodes: undefined, connected: 0, unavailable: [] };
  stack.use(
    await startProbeServer({
      listen: config.health.listen,
      live: () => undefined,
      ready: () => notReady(reach),
    }),
  );
  const fanIn = stack.use(await startFanIn({ nodes: [], listen: listenOf(config), version }));
  stack.use(await startMetricsServer({ listen: config.metrics.listen, registries: [relayMetrics(reach)] }));
  stack.use(releaseStartMemory(releaseMemoryAfterMs));
  const credentials = await loadCredentials(config.kubeconfig, { apiServer: config.apiServer });
  const client = stack.use(createKubeClient(credentials, { userAgent: `weft-relay/${version}` }));
  let changed = () => {};
  stack.use(
    startJob({
      name: "agents",
      signal,
      health,
      log,
      run: (until) =>
        followAgentNodes({
          client,
          namespace: process.env["POD_NAMESPACE"] ?? "kube-system",
          signal: until,
          onNodes(nodes) {
            log.info({ nodes: nodes.length }, "nodes changed");
            reach.nodes = nodes.length;
            fanIn.setNodes(
              nodes.map(({ node, address }) => ({
                name: `${config.clusterName}/${node}`,
                address: `${address.includes(":") ? `[${address}]` : address}:${config.agentPort}`,
              })),
            );
            changed();
          },
          onState(problem) {
            if (problem !== undefined)
              log.warn({ err: errorText(problem) }, "cannot follow the agents' pods");
          },
        }),
    }),
  );
  const watching = watchReach(fanIn, reach, {
    log,
    signal,
    nextChange: (then) => {
      changed = then;
    },
  });
  log.info({ listen: config.observer.listen, tls: config.tls?.listen }, "serving");
  await aborted(signal);
  await watching;
}

function listenOf({ observer, tls }: RelayConfig): ListenAddress {
  const tcp = parseListen(observer.listen);
  return tls ? { tcp, tls: { ...parseListen(tls.listen), cert: tls.cert, key: tls.key } } : { tcp };
}

/** Asks the agents again and again, and at once when their set has changed. */
async function watchReach(
  fanIn: FanIn,
  reach: Reach,
  options: { readonly log: Logger; readonly signal: AbortSignal; nextChange(then: () => void): void },
): Promise<void> {
  const { log, signal } = options;
  while (!signal.aborted) {
    const wake = new AbortController();
    options.nextChange(() => wake.abort());
    const { connected, unavailable } = await fanIn.check(signal);
    if (unavailable.join() !== reach.unavailable.join())
      log.info({ connected, unavailable }, "agents that answer");
    reach.connected = connected;
    reach.unavailable = unavailable;
    await pause(checkMs, AbortSignal.any([signal, wake.signal]));
  }
}

/** Some agents that do not answer are no reason to turn clients away: they are told which. */
function notReady({ nodes, connected }: Reach): string | undefined {
  if (nodes === undefined) return "the API server has not said yet where agents are";
  if (nodes === 0) return "there are no agents";
  return connected === 0 ? `none of ${nodes} agents answers` : undefined;
}

await runProgram({
  name: "weft-relay",
  about: "The flows of the whole cluster at one address.",
  config: "/etc/weft/relay.yaml",
  run: (path, log, signal) => run(loadRelayConfig(path), log, signal),
});
