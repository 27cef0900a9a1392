// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "#agent/config.ts";
import { datapathMaps } from "#datapath/maps.ts";
import type { LabelFilter } from "#identities/label-filter.ts";
import type { KubeClient } from "#k8s/client.ts";
import type { Netlink } from "#kernel/netlink/handle.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Family } from "#model/ip.ts";
import type { Node } from "#nodes/node.ts";
import type { Reconciler } from "#store/reconciler.ts";
import type { Database, Table } from "#store/table.ts";
import { familiesOf, type NodeDatapath } from "./agent-datapath.ts";
import { startEgress } from "./agent-egress.ts";
import type { AgentTables } from "./agent-tables.ts";
import { startEndpoints } from "./control-endpoints.ts";
import { startIdentities } from "./control-identities.ts";
import { startPolicies } from "./control-policies.ts";
import { startServices } from "./control-services.ts";

export interface ControlDeps {
  readonly config: AgentConfig;
  readonly tables: AgentTables;
  readonly keepsLabel: LabelFilter;
  readonly client: KubeClient;
  readonly node: Node;
  readonly nodeDatapath: NodeDatapath;
  readonly netlink: Netlink;
  /** Where the agent reaches the API server. */
  readonly apiServer: URL;
  readonly health: Health;
  readonly log: Logger;
}

/** What every part of the control is given. */
export interface ControlContext extends ControlDeps {
  readonly db: Database;
  readonly maps: ReturnType<typeof datapathMaps>;
  readonly families: Family[];
  /** For whatever runs. */
  readonly common: { readonly db: Database; readonly health: Health; readonly log: Logger };
}

/** Intent tables → desired tables → kernel. `inKernel` resolves when the first complete state is there. */
export function startControl(deps: ControlDeps, signal: AbortSignal) {
  const { config, tables, health, log, nodeDatapath } = deps;
  const { db } = tables;
  const maps = datapathMaps(nodeDatapath.datapath);
  const context = { ...deps, db, maps, families: familiesOf(config), common: { db, health, log } };
  const stack = new AsyncDisposableStack();
  const identities = stack.use(startIdentities(context, signal));
  const egress = stack.use(startEgress(deps, maps, signal));
  const services = stack.use(startServices(context, signal));
  const policies = stack.use(startPolicies(context, identities, signal));
  const { known } = identities;
  const policyReconciler = policies.reconciler;
  const endpoints = stack.use(startEndpoints(context, { known, policyReconciler }, signal));
  const parts = [identities, egress, services, policies];
  const stages = parts.flatMap((part): readonly Stage[] => part.stages);
  return {
    maps,
    /** Resolves when the kernel holds an endpoint's row, and how it leaves the cluster. */
    async endpointSettled(id: string, until: AbortSignal) {
      await egress.settled(id, until);
      await endpoints.reconciler.settled(id, until);
    },
    /** Whether the load balancer's maps keep up with the cluster. */
    servicesFollow: services.follow,
    inKernel: (until: AbortSignal) => Promise.all(stages.map((stage) => reached(stage, until))),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

interface Stage {
  readonly table: Table<unknown>;
  readonly reconciler: Reconciler;
}

/** Resolves when the kernel holds what the table had when it was first complete. */
async function reached({ table, reconciler }: Stage, signal: AbortSignal): Promise<void> {
  await table.ready;
  await reconciler.waitUntil(table.revision, signal);
}
