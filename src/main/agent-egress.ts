// SPDX-License-Identifier: Apache-2.0
import { attachEgressDevices } from "#datapath/attach.ts";
import type { DatapathMaps } from "#datapath/maps.ts";
import { startEgressController } from "#egress/controller.ts";
import { startEgressDevices } from "#egress/devices.ts";
import { startMasqueradeReconciler } from "#egress/masquerade-ops.ts";
import { startEgressReconciler } from "#egress/ops.ts";
import { startOwnAddresses } from "#egress/own-addresses.ts";
import { egressGatewayOf } from "./agent-settings.ts";
import type { ControlDeps } from "./control-context.ts";

/** How pods leave the cluster: what is not masqueraded, and who leaves by a gateway. */
export function startEgress(
  deps: Pick<ControlDeps, "config" | "tables" | "nodeDatapath" | "netlink" | "health" | "log">,
  maps: DatapathMaps,
  signal: AbortSignal,
) {
  const { config, tables, nodeDatapath, netlink, health, log } = deps;
  const { db, masqueradeExempt, egress, egressPolicies, ownAddresses } = tables;
  const common = { db, health, log };
  const stack = new AsyncDisposableStack();
  const masqueradeReconciler = stack.use(
    startMasqueradeReconciler({ ...common, exempt: masqueradeExempt, map: maps.masqExempt, signal }),
  );
  stack.use(startOwnAddresses({ db, own: ownAddresses, netlink }));
  stack.use(
    startEgressController({
      ...common,
      policies: egressPolicies,
      nodes: tables.nodes,
      apiServers: tables.apiServers,
      ownAddresses,
      endpoints: tables.endpoints,
      clusterEndpoints: tables.clusterEndpoints,
      egress,
      enabled: egressGatewayOf(config),
    }),
  );
  stack.use(
    startEgressDevices({
      egress,
      ownAddresses,
      nodeDevice: nodeDatapath.device.index,
      attach: (devices) => attachEgressDevices(nodeDatapath.target, devices),
      health,
      log,
    }),
  );
  const reconciler = stack.use(startEgressReconciler({ ...common, egress, map: maps.egress, signal }));
  return {
    stages: [
      { table: masqueradeExempt, reconciler: masqueradeReconciler },
      { table: egress, reconciler },
    ],
    /**
     * Resolves when the kernel holds how an endpoint leaves: its rows are in the table already. While nobody knows yet which policies there
     * are, no pod waits for them. A pod that no policy selects waits for nothing.
     */
    async settled(id: string, until: AbortSignal) {
      const { v4, v6 } = tables.endpoints.get(id) ?? {};
      const rows = [v4, v6].flatMap((address) => (address ? [...egress.by("source", address)] : []));
      await Promise.all(rows.map((row) => reconciler.settled(egress.keyOf(row), until)));
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
