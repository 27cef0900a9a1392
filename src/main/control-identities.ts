// SPDX-License-Identifier: Apache-2.0
import { tunnelDevice } from "#datapath/devices.ts";
import { BlockIdentities } from "#identities/blocks.ts";
import { CidrIdentities } from "#identities/cidr.ts";
import { startIpcacheController } from "#identities/ipcache.ts";
import { Known } from "#identities/known.ts";
import { NodeIdentities } from "#identities/nodes.ts";
import { startBlockReconciler, startIpcacheReconciler } from "#identities/ops.ts";
import type { PrefixOrder } from "#identities/prefix-identities.ts";
import { pause } from "#lib/clock.ts";
import { startNodeController } from "#nodes/controller.ts";
import { startRouteReconciler } from "#nodes/ops.ts";
import type { Reconciler } from "#store/reconciler.ts";
import type { ControlContext } from "./control-context.ts";

/** Of the ipcache, what no pod elsewhere and no CIDR takes: nodes, API servers and this node's own always fit. */
const criticalShare = 1 / 32;

/** Nodes, claims of addresses, and prefixes → identities, ipcache, blocks and routes → kernel. */
export function startIdentities(deps: ControlContext, signal: AbortSignal) {
  const { config, tables, maps, common, db } = deps;
  const stack = new AsyncDisposableStack();
  const known = stack.use(new Known(tables.identities));
  stack.use(
    startIpcacheController(db, tables.claims, tables.ipcache, {
      known,
      room: Math.floor(maps.ipcache.map.info.maxEntries * (1 - criticalShare)),
      health: deps.health,
    }),
  );
  const ipcacheReconciler = stack.use(
    startIpcacheReconciler({ ...common, ipcache: tables.ipcache, map: maps.ipcache, signal }),
  );
  const blockReconciler = stack.use(
    startBlockReconciler({ ...common, blocks: tables.blocks, map: maps.blocks, signal }),
  );
  const cidrs = new CidrIdentities({
    db,
    identities: tables.identities,
    claims: tables.claims,
    dualStack: config.families === "dual",
    order: prefixOrder(known, ipcacheReconciler, signal),
  });
  const blocks = new BlockIdentities({
    db,
    identities: tables.identities,
    blocks: tables.blocks,
    order: prefixOrder(known, blockReconciler, signal),
  });
  stack.use(startNodes(deps, cidrs, signal));
  const tunnel = config.routing === "tunnel" ? { tunnelDevice } : {};
  const routeReconciler = stack.use(
    startRouteReconciler({ ...common, routes: tables.routes, netlink: deps.netlink, ...tunnel }, signal),
  );

  return {
    known,
    cidrs,
    blocks,
    stages: [
      { table: tables.ipcache, reconciler: ipcacheReconciler },
      { table: tables.blocks, reconciler: blockReconciler },
      { table: tables.routes, reconciler: routeReconciler },
    ],
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function startNodes(
  { config, tables, common, db, families }: ControlContext,
  cidrs: CidrIdentities,
  signal: AbortSignal,
): AsyncDisposable {
  const stack = new AsyncDisposableStack();
  const nodeIdentities = stack.use(new NodeIdentities({ db, identities: tables.identities }));
  stack.use(
    startNodeController(
      {
        ...common,
        nodes: tables.nodes,
        apiServers: tables.apiServers,
        labelKeys: tables.nodeLabelKeys,
        identities: {
          assign: (others, keys) => nodeIdentities.assign(others, keys),
          setHost: (self, keys) => nodeIdentities.setHost(self, keys),
          setApiServers: (prefixes) => cidrs.setApiServers(prefixes),
        },
        routes: tables.routes,
        claims: tables.claims,
        routing: config.routing,
        families,
      },
      signal,
    ),
  );
  return stack;
}

const inFlightMs = 20;

/** Packets have a prefix's identity only while the policies in the kernel know it. */
function prefixOrder(known: Known, reconciler: Reconciler, signal: AbortSignal): PrefixOrder {
  return {
    whenKnown: (identity, then) => known.whenKnown(identity, then),
    async withdrawn(prefix) {
      await reconciler.settled(prefix, signal);
      // A packet that found the entry just before it went is judged within microseconds.
      await pause(inFlightMs, signal);
    },
  };
}
