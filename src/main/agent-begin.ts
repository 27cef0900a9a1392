// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import type { AgentConfig } from "#agent/config.ts";
import type { AgentPaths } from "#agent/paths.ts";
import { labelFilter } from "#identities/label-filter.ts";
import { createKubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { ownNode } from "#nodes/self.ts";
import { Snapshots } from "#store/snapshot.ts";
import { Database } from "#store/table.ts";
import { startNodeDatapath } from "./agent-datapath.ts";
import type { Readiness } from "./agent-ready.ts";
import { agentTables } from "./agent-tables.ts";
import type { ControlDeps } from "./control-context.ts";
import { installedVersion } from "./program.ts";

/** What every part of the agent begins with. */
export interface AgentDeps extends ControlDeps {
  readonly paths: AgentPaths;
  readonly version: string;
}

export interface BeginOptions {
  readonly config: AgentConfig;
  readonly paths: AgentPaths;
  readonly health: Health;
  readonly readiness: Readiness;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** The API server, who this node is, its devices and programs, the tables: in this order. What is to be stopped is put onto the stack. */
export async function beginAgent(stack: AsyncDisposableStack, options: BeginOptions): Promise<AgentDeps> {
  const { config, paths, health, readiness, log, signal } = options;
  const version = installedVersion();
  const { apiServer } = config;
  const credentials = await loadCredentials(config.kubeconfig, { apiServer });
  const client = stack.use(createKubeClient(credentials, { userAgent: `weft-agent/${version}` }));
  readiness.waitFor(() => `the API server has not said what this node's addresses and pod CIDRs are`);
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
  return {
    config,
    paths,
    version,
    client,
    apiServer: new URL(credentials.server),
    node,
    netlink,
    nodeDatapath,
    tables: agentTables(new Database({ snapshots })),
    keepsLabel: labelFilter(config.identityLabels),
    health,
    log,
  };
}
