// SPDX-License-Identifier: Apache-2.0

import type { Netlink } from "#kernel/netlink/handle.ts";
import { getLink } from "#kernel/netlink/link.ts";
import { deleteRoute, listRoutes, replaceRoute } from "#kernel/netlink/route.ts";
import type { Route } from "#kernel/netlink/route-fields.ts";
import { WeftError } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { NodeRoute } from "#nodes/table.ts";
import { type Reconciler, type ReconcilerOps, startReconciler } from "#store/reconciler.ts";
import type { Database, Table } from "#store/table.ts";

/** Marks the routes that are ours in the kernel (rtm_protocol): only such are listed and taken away. */
export const routeProtocol = 201;

export interface RouteReconcilerDeps {
  readonly db: Database;
  readonly routes: Table<NodeRoute>;
  /** Of the node's network namespace. */
  readonly netlink: Netlink;
  /** Name of the VXLAN device; needed by routes with encapsulation. */
  readonly tunnelDevice?: string;
  readonly health: Health;
  readonly log: Logger;
}

/** Keeps the kernel's routes of our protocol equal to the table. */
export function startRouteReconciler(deps: RouteReconcilerDeps, signal: AbortSignal): Reconciler {
  const { db, routes, health, log } = deps;
  return startReconciler({
    name: "node-routes",
    kernelIsNewer: true,
    table: routes,
    db,
    encode: routeEntry,
    ops: routeOps(deps),
    signal,
    health,
    log,
  });
}

/** What of a route the kernel is told, and tells back. */
export type RouteEntry = Omit<NodeRoute, "node">;

function routeEntry({ dst, encap, gateway, src, unreachable }: NodeRoute): RouteEntry {
  return {
    dst,
    ...(encap && { encap: { id: encap.id, dst: encap.dst } }),
    ...(gateway && { gateway }),
    ...(src && { src }),
    ...(unreachable && { unreachable }),
  };
}

function routeOps(deps: Pick<RouteReconcilerDeps, "netlink" | "tunnelDevice">): ReconcilerOps<RouteEntry> {
  const { netlink, tunnelDevice } = deps;
  const toKernel = (entry: RouteEntry): Route => {
    const { dst, encap, gateway, src, unreachable } = entry;
    if (unreachable) return { dst, protocol: routeProtocol, type: "unreachable" };
    const base: Route = { dst, protocol: routeProtocol, ...(src && { src }) };
    if (!encap) return { ...base, ...(gateway && { gateway }) };
    const link = tunnelDevice === undefined ? undefined : getLink(netlink, tunnelDevice);
    if (!link)
      throw new WeftError("E_ROUTE", `route ${dst}: there is no tunnel device ${tunnelDevice ?? ""}`);
    return { ...base, link: link.index, encap };
  };
  return {
    list() {
      const entries = new Map<string, RouteEntry>();
      const tunnel = tunnelDevice === undefined ? undefined : getLink(netlink, tunnelDevice)?.index;
      for (const { dst, type, encap, gateway, src, link } of listRoutes(netlink, {
        protocol: routeProtocol,
      })) {
        if (type === "unreachable") {
          entries.set(dst, { dst, unreachable: true });
          continue;
        }
        // Through another device it is not what we want: without its encapsulation it equals no tunnelled route.
        const through = encap && link === tunnel ? { encap: { id: encap.id, dst: encap.dst } } : {};
        entries.set(dst, { dst, ...through, ...(gateway && { gateway }), ...(src && { src }) });
      }
      return entries;
    },
    update(batch) {
      const failures = new Map<string, unknown>();
      for (const [key, entry] of batch) {
        try {
          replaceRoute(netlink, toKernel(entry));
        } catch (thrown) {
          failures.set(key, thrown);
        }
      }
      return failures;
    },
    delete(batch) {
      const failures = new Map<string, unknown>();
      for (const [key, { dst, unreachable }] of batch) {
        try {
          // Scope "nowhere" matches a route of any scope.
          const type = unreachable ? "unreachable" : "unicast";
          deleteRoute(netlink, { dst, type, protocol: routeProtocol, scope: "nowhere" });
        } catch (thrown) {
          failures.set(key, thrown);
        }
      }
      return failures;
    },
  };
}
