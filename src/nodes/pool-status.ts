// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { resources } from "#k8s/resource.ts";
import { pause } from "#lib/clock.ts";
import type { Health } from "#lib/health.ts";
import { startJob } from "#lib/jobs.ts";
import type { Logger } from "#lib/log.ts";
import type { Table } from "#store/table.ts";
import type { CiliumNode } from "./cilium-node.ts";

/** How full a pod CIDR is. */
export interface CidrUsage {
  readonly cidr: string;
  readonly used: number;
  readonly size: number;
}

type PodCidrStatus = Readonly<Record<string, { readonly status?: string }>>;

/** A merge patch of `status.ipam.pod-cidrs`: in-use or depleted, and no CIDRs of earlier times; undefined: it is right. Pure. */
export function poolStatusPatch(usage: readonly CidrUsage[], actual: PodCidrStatus): object | undefined {
  const changes: Record<string, { status: string } | null> = {};
  for (const { cidr, used, size } of usage) {
    const status = used >= size ? "depleted" : "in-use";
    if (actual[cidr]?.status !== status) changes[cidr] = { status };
  }
  for (const cidr of Object.keys(actual)) if (!usage.some((one) => one.cidr === cidr)) changes[cidr] = null;
  return Object.keys(changes).length > 0 ? { status: { ipam: { "pod-cidrs": changes } } } : undefined;
}

/** Seldom: it is for people to look at, and every write goes to all who follow CiliumNodes. */
const everyMs = 60_000;

/** Writes into this node's CiliumNode which of its pod CIDRs are used up. */
export function startPoolStatus(deps: {
  readonly client: KubeClient;
  readonly ciliumNodes: Table<CiliumNode>;
  readonly nodeName: string;
  readonly usage: () => readonly CidrUsage[];
  readonly health: Health;
  readonly log: Logger;
  readonly signal: AbortSignal;
}): AsyncDisposable {
  const { client, ciliumNodes, nodeName: name, usage, health, log, signal } = deps;
  return startJob({
    name: "cilium-node/status",
    health,
    log,
    signal,
    async run(until, ok) {
      while (!until.aborted) {
        const body = poolStatusPatch(usage(), ciliumNodes.get(name)?.podCidrStatus ?? {});
        if (body && ciliumNodes.get(name))
          await client.patch(
            resources.ciliumNodes,
            { name },
            { type: "merge", body },
            { subresource: "status", signal: until },
          );
        ok("");
        await pause(everyMs, until);
      }
    },
  });
}
