// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { startAgentApi } from "#agent/api.ts";
import { writeCniConf } from "#agent/cni-conf.ts";
import { installCniPrograms } from "#agent/cni-program.ts";
import { type AgentConfig, loadAgentConfig, parseAgentConfig } from "#agent/config.ts";
import { agentPaths } from "#agent/paths.ts";
import { startCniServer } from "#cni/server.ts";
import { startFlows } from "#flows/start.ts";
import { labelFilter } from "#identities/label-filter.ts";
import { Ipam } from "#ipam/ipam.ts";
import { createKubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { mapMemory } from "#kernel/bpf/map-memory.ts";
import { trimAllocator } from "#kernel/memory.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { installRoot } from "#lib/assets.ts";
import { aborted } from "#lib/clock.ts";
import { errorText, isAbort, WeftError } from "#lib/errors.ts";
import { createHealth } from "#lib/health.ts";
import { createLogger, type Logger } from "#lib/log.ts";
import { parseListen, startMetricsServer } from "#lib/metrics.ts";
import { startProbeServer } from "#lib/probes.ts";
import { releaseMemoryAfterMs, releaseStartMemory } from "#lib/release-memory.ts";
import { family } from "#model/ip.ts";
import { startPoolStatus } from "#nodes/pool-status.ts";
import { ownNode, ownNodeChanged } from "#nodes/self.ts";
import { Snapshots } from "#store/snapshot.ts";
import { Database, type Table } from "#store/table.ts";
import { startAcceleration } from "./agent-acceleration.ts";
import { cleanNode } from "./agent-cleanup.ts";
import { startControl } from "./agent-control.ts";
import { familiesOf, startNodeDatapath } from "./agent-datapath.ts";
import { startEndpoints } from "./agent-endpoints.ts";
import { liveness, waitingFor } from "./agent-health.ts";
import { hostProcOf } from "./agent-host.ts";
import { startL2 } from "./agent-l2.ts";
import { mapFill } from "./agent-map-fill.ts";
import { mapBytes, mapsDump } from "./agent-map-memory.ts";
import { agentMaps } from "./agent-maps.ts";
import { agentMetrics } from "./agent-metrics.ts";
import { startPrefilter } from "./agent-prefilter.ts";
import { probeNode, requireNode } from "./agent-requirements.ts";
import { serviceBackendsView } from "./agent-service-view.ts";
import { startServiceHealth } from "./agent-services.ts";
import { startSources } from "./agent-sources.ts";
import { agentStatus } from "./agent-status.ts";
import { type AgentTables, agentTables } from "./agent-tables.ts";
import { programArguments } from "./program.ts";

const version = (JSON.parse(readFileSync(join(installRoot(), "package.json"), "utf8")) as { version: string })
  .version;

/** The agent of one node, from start to stop; everything stops in the reverse of this order. */
async function run(config: AgentConfig, log: Logger, signal: AbortSignal): Promise<void> {
  const startedMs = performance.now();
  await using stack = new AsyncDisposableStack();
  const paths = agentPaths(config);
  requireNode(config, log);
  for (const dir of [config.runDir, config.stateDir]) mkdirSync(dir, { recursive: true, mode: 0o700 });
  const health = createHealth();
  const { add: addPulse, live } = liveness();
  let state: () => string | undefined = () => "the agent starts";
  stack.use(await startProbeServer({ listen: config.health.listen, live, ready: () => state() }));
  installCniPrograms(config.cniBinDir, log);
  const { apiServer } = config;
  const credentials = await loadCredentials(config.kubeconfig, { apiServer });
  const client = stack.use(createKubeClient(credentials, { userAgent: `weft-agent/${version}` }));
  state = () => `the API server has not said what this node's addresses and pod CIDRs are`;
  const node = await ownNode({
    client,
    nodeName: config.nodeName,
    ipam: config.ipam,
    cacheFile: join(config.stateDir, "node.json"),
    log,
    signal,
  });
  const netlink = stack.use(openNetlink());
  const nodeDatapath = startNodeDatapath({ config, paths, node, netlink, log });
  stack.use(nodeDatapath.datapath);

  const snapshots = stack.use(new Snapshots({ dir: paths.snapshots, format: version, log }));
  const tables = agentTables(new Database({ snapshots }));
  // A thread takes a while to start: it does so while the rest is read.
  const flowsStarting = startFlows({
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
  flowsStarting.catch(() => {});
  const keepsLabel = labelFilter(config.identityLabels);
  const server = new URL(credentials.server);
  const common = { config, tables, keepsLabel, client, node, nodeDatapath, netlink, health, log };
  const deps = { ...common, apiServer: server };
  const control = stack.use(startControl(deps, signal));
  const settled = (id: string, until: AbortSignal) => control.endpointSettled(id, until);
  const endpoints = startEndpoints({ ...deps, paths, clusterName: config.clusterName, keepsLabel, settled });
  // Every pod has the new programs now: what the earlier ones wrote into maps that were replaced is complete.
  nodeDatapath.datapath.takeRest();
  const acceleration = stack.use(startAcceleration(deps));
  stack.use(startSources(deps, signal));
  stack.use(startL2(deps, signal));

  const hostProc = hostProcOf(config);
  const prefilter = stack.use(startPrefilter(deps));
  const families = familiesOf(config);
  const ipam = new Ipam(node.podCidrs.filter((cidr) => families.includes(family(cidr))));
  const { ciliumNodes } = tables;
  const usage = () => ipam.usage();
  stack.use(startPoolStatus({ client, ciliumNodes, nodeName: node.name, usage, health, log, signal }));
  state = () => waitingFor("the cluster's state is being read", firstTables(tables));
  const isReady = () => state() === undefined;
  const fill = mapFill(
    tables,
    nodeDatapath.prefilter,
    (map) => nodeDatapath.datapath.map(map).info.maxEntries,
  );
  const { datapath } = nodeDatapath;
  const status = () =>
    agentStatus({
      ...deps,
      acceleration,
      ready: isReady(),
      startedMs,
      version,
      maps: fill(),
      mapBytes: mapBytes(datapath),
    });
  stack.use(
    await startAgentApi({
      socketPath: paths.api,
      db: tables.db,
      status,
      maps: { ...agentMaps(control.maps, datapath, tables), maps: mapsDump(datapath, fill) },
      views: { "service-backends": serviceBackendsView(tables, families, config), prefilter: prefilter.view },
      actions: { prefilter: prefilter.change },
    }),
  );
  const flows = stack.use(await flowsStarting);
  addPulse({ name: "the flows thread", beat: () => flows.metrics.metrics() });
  stack.use(
    await startMetricsServer({
      listen: config.metrics.listen,
      registries: [
        agentMetrics({
          health,
          maps: fill,
          mapMemory: () => datapath.maps.entries().map(([name, map]) => [name, mapMemory(map)] as const),
          announced: () => tables.l2Announcements.size,
          acceleration,
          prefilter: nodeDatapath.prefilter,
        }),
        flows.metrics,
      ],
    }),
  );
  stack.use(
    await startServiceHealth({ ...deps, healthy: () => isReady() && control.servicesFollow() }, signal),
  );
  const { v4, v6 } = nodeDatapath.sources;
  stack.use(
    await startCniServer({
      socketPath: paths.cni,
      deletionsDir: paths.cniDeletions,
      signal,
      deps: {
        ipam,
        endpoints,
        node: {
          mtu: nodeDatapath.podMtu,
          source: { ...(v4 && { v4 }), ...(v6 && { v6 }) },
          ...(hostProc !== undefined && { hostProc }),
        },
        log,
        notReady: () => state(),
      },
    }),
  );

  await firstState(tables, control, { log, signal });
  if (!signal.aborted) {
    writeCniConf(config.cniConfDir, { socket: paths.cni, deletions: paths.cniDeletions });
    state = () => undefined;
    log.info(
      { node: node.name, pid: process.pid, tookMs: Math.round(performance.now() - startedMs) },
      "ready",
    );
    stack.use(releaseStartMemory(releaseMemoryAfterMs, trimAllocator));
    const following = endpoints.followLabels(signal);
    const changed = ownNodeChanged(node, tables.nodes, { families, signal });
    const change = await Promise.race([aborted(signal), flows.ended, changed]);
    if (typeof change === "string")
      throw new WeftError("E_NODE_CHANGED", change, { hint: "the agent starts again with what it is now" });
    await following;
  }
}

/** A service that can't be written must not keep the node from running pods. */
const firstStateMs = 5_000;

/**
 * Waits until the cluster's state has been read and is in the kernel: only then is a new pod judged, balanced and reached as it should be.
 */
async function firstState(
  tables: AgentTables,
  control: { inKernel(signal: AbortSignal): Promise<unknown> },
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  await Promise.race([Promise.all(firstTables(tables).map((table) => table.ready)), aborted(signal)]);
  if (signal.aborted) return;
  try {
    await control.inKernel(AbortSignal.any([signal, AbortSignal.timeout(firstStateMs)]));
  } catch (error) {
    if (!signal.aborted)
      log.warn({ error: errorText(error) }, "not everything is in the kernel yet, going on");
  }
}

/** What must be known before a pod can be judged. */
function firstTables(tables: AgentTables): Table<unknown>[] {
  const { nodes, namespaces, policies, identities, endpointPolicies, frontends } = tables;
  return [nodes, namespaces, policies, identities, endpointPolicies, frontends];
}

const usage = `Usage: weft-agent [COMMAND] [--config FILE]

The network of one node: run as root on the node, one per node.

  (no command)   run until a signal
  probe          list what an agent needs of this node and what of it is missing
  cleanup        leave this node as it was before Weft; running pods lose their network

  --config FILE  its settings (default /etc/weft/agent.yaml)
  --version      print the version
  -h, --help     print this`;

async function main(): Promise<void> {
  const { values, positionals } = programArguments(usage, "/etc/weft/agent.yaml", true);
  if (values.version || values.help) {
    console.log(values.version ? version : usage);
    return;
  }
  const [command = "run", ...more] = positionals;
  if (command === "run" && more.length === 0) return await runUntilStopped(values.config);
  // These two work where no agent ever ran, too.
  const text = existsSync(values.config) ? readFileSync(values.config, "utf8") : "";
  const config = () => parseAgentConfig(text, values.config, { NODE_NAME: hostname(), ...process.env });
  if (command === "probe" && more.length === 0) {
    process.exitCode = probeNode(config(), console.log) ? 0 : 1;
    return;
  }
  if (command === "cleanup" && more.length === 0) return await cleanup(config());
  console.error(usage);
  process.exitCode = 2;
}

async function cleanup(config: AgentConfig): Promise<void> {
  try {
    await cleanNode(config, console.log);
    console.log("this node is as it was before Weft");
  } catch (error) {
    const hint = error instanceof WeftError && error.hint ? ` (${error.hint})` : "";
    console.error(`${errorText(error)}${hint}`);
    process.exitCode = 1;
  }
}

async function runUntilStopped(file: string): Promise<void> {
  const log = createLogger("weft-agent");
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const)
    process.once(name, () => stop.abort(new WeftError("E_STOPPED", `stopped by ${name}`)));
  try {
    await run(loadAgentConfig(file), log, stop.signal);
  } catch (error) {
    const code = error instanceof WeftError ? error.code : undefined;
    const hint = error instanceof WeftError ? error.hint : undefined;
    if (!stop.signal.aborted) {
      log.fatal({ error: errorText(error), hint, code }, "agent failed");
      process.exitCode = 1;
    } else if (code !== "E_STOPPED" && !isAbort(error)) {
      log.warn({ error: errorText(error), code }, "stopped, but not cleanly");
    }
  }
  // The last line of an agent that failed says why: it is what Kubernetes shows of it.
  if (stop.signal.aborted) log.info({}, "stopped");
  // A thread or socket of a start that failed half-way must not keep the process: whoever supervises it starts it anew.
  process.exit();
}

await main();
