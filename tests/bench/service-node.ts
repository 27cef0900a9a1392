// SPDX-License-Identifier: Apache-2.0
/** The services' half of an agent on the kernel's real maps, without an API server: what the agent starts, over tables that the bench fills. */
import { loadCollection } from "#kernel/bpf/object.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { createHealth } from "#lib/health.ts";
import { createLogger } from "#lib/log.ts";
import { parseAddress } from "#model/ip.ts";
import { startServiceController } from "#services/controller.ts";
import { serviceMaps } from "#services/maps.ts";
import { startServiceReconciler } from "#services/ops.ts";
import { rowsOf } from "#services/slot-rows.ts";
import { agentTables } from "../../src/main/agent-tables.ts";

export interface ServiceSizes {
  readonly services: number;
  readonly endpointsEach: number;
}

export function startServiceNode({ services, endpointsEach }: ServiceSizes, signal: AbortSignal) {
  const stack = new AsyncDisposableStack();
  const tables = agentTables();
  const { db, frontends, frontendIds, endpointSlices, nodes, hostPorts, redirects, healthChecks } = tables;
  const common = { db, frontends, health: createHealth(), log: createLogger("bench", "warn") };
  const endpoints = services * endpointsEach;
  const collection = stack.use(
    loadCollection(compiledSpec("bpf/pod.bpf.c"), {
      maxEntries: {
        conntrack: 1024,
        lb_socks: 256,
        lb_slots: services * rowsOf(endpointsEach) + 1024,
        lb_backends: endpoints + 1024,
      },
    }),
  );
  const map = (name: string) => collection.map(name);
  db.write((tx) =>
    tx.put(nodes, {
      name: "n1",
      self: true,
      addresses: [parseAddress("192.168.1.10")],
      podCidrs: [],
      labels: new Map(),
    }),
  );
  stack.use(
    startServiceController(
      {
        ...common,
        services: tables.services,
        endpointSlices,
        nodes,
        hostPorts,
        redirects,
        healthChecks,
        families: [4],
      },
      signal,
    ),
  );
  const reconciler = stack.use(
    startServiceReconciler({ ...common, frontendIds, maps: serviceMaps(map) }, signal),
  );
  for (const table of [nodes, hostPorts, redirects]) table.source("bench").synced();
  return {
    db,
    tables,
    map,
    /** Resolves when the maps hold as many frontends as there should be, and all that belongs to them. */
    async settled(wanted: number): Promise<void> {
      while (frontends.size < wanted) await new Promise((resolve) => setImmediate(resolve));
      await reconciler.waitUntil(frontends.revision, signal);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export type ServiceNode = ReturnType<typeof startServiceNode>;
