// SPDX-License-Identifier: Apache-2.0
import { datapathMaps } from "#datapath/maps.ts";
import type { Reconciler } from "#store/reconciler.ts";
import type { Table } from "#store/table.ts";
import { startEgress } from "./agent-egress.ts";
import { familiesOf } from "./agent-settings.ts";
import type { ControlDeps } from "./control-context.ts";
import { startEndpoints } from "./control-endpoints.ts";
import { startIdentities } from "./control-identities.ts";
import { startPolicies } from "./control-policies.ts";
import { startServices } from "./control-services.ts";

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
