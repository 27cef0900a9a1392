// SPDX-License-Identifier: Apache-2.0
import { reflect } from "#k8s/reflect.ts";
import { resources } from "#k8s/resource.ts";
import { startL2Announcer } from "#services/l2-controller.ts";
import { startL2Reconciler } from "#services/l2-ops.ts";
import { type L2PolicyObject, l2PolicyRow } from "#services/l2-policy.ts";
import type { ControlDeps } from "./control-context.ts";

/** Addresses of services that this node answers for on the wire: policies, Leases, what is in the kernel. Nothing where it is off. */
export function startL2(deps: ControlDeps, signal: AbortSignal): AsyncDisposable {
  const { config, tables, client, node, nodeDatapath, health, log } = deps;
  const { enabled, leaseSec } = config.l2Announcements;
  const stack = new AsyncDisposableStack();
  if (!enabled) return stack;
  const { index: ifindex, name, mac } = nodeDatapath.device;
  if (mac === undefined)
    log.warn({ device: name }, "a device without hardware address: nothing is announced on it");
  const devices = mac === undefined ? [] : [{ name, ifindex, mac }];
  const common = { db: tables.db, health, log };
  stack.use(
    reflect({
      ...common,
      client,
      signal,
      resource: resources.ciliumL2AnnouncementPolicies,
      table: tables.l2Policies,
      toRow: (object: L2PolicyObject) => l2PolicyRow(object),
    }),
  );
  const map = nodeDatapath.datapath.map("l2_responders");
  const reconciler = stack.use(
    startL2Reconciler({ ...common, announced: tables.l2Announcements, map, devices }, signal),
  );
  stack.use(
    startL2Announcer(
      {
        ...common,
        tables,
        client,
        namespace: process.env.POD_NAMESPACE ?? "kube-system",
        nodeName: node.name,
        leaseSec,
        devices: devices.map((device) => device.name),
        reconciler,
      },
      signal,
    ),
  );
  return stack;
}
