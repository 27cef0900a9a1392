// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from "node:util";
import type { KubeClient } from "#k8s/client.ts";
import type { EventRecorder } from "#k8s/events.ts";
import { resources } from "#k8s/resource.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { CiliumNode } from "#nodes/cilium-node.ts";
import { startController } from "#store/controller.ts";
import type { Table } from "#store/table.ts";
import { startWorkQueue } from "#store/work-queue.ts";
import type { Assignment, PodCidrs } from "./pod-cidrs.ts";

export interface AssignDeps {
  readonly client: KubeClient;
  readonly ciliumNodes: Table<CiliumNode>;
  readonly podCidrs: PodCidrs;
  readonly events: EventRecorder;
  readonly health: Health;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** With ipam cluster-pool: gives each CiliumNode its pod CIDRs, and says so where there are none left. */
export function startCidrAssignment(deps: AssignDeps): AsyncDisposable {
  const { client, ciliumNodes, podCidrs, health, log, signal } = deps;
  const stack = new AsyncDisposableStack();
  let assigned: ReadonlyMap<string, Assignment> = new Map();
  const troubles = new Troubles(deps);
  const queue = stack.use(
    startWorkQueue({
      name: "pod-cidrs/write",
      health,
      log,
      signal,
      async work(name, until) {
        const node = ciliumNodes.get(name);
        const assignment = assigned.get(name);
        if (node && assignment) await write(client, { node, assignment, signal: until });
      },
    }),
  );
  stack.use(
    startController({
      name: "pod-cidrs",
      inputs: { ciliumNodes },
      signal,
      health,
      log,
      run() {
        assigned = podCidrs.update(ciliumNodes.all());
        troubles.keep((name) => assigned.has(name));
        let lacking = 0;
        for (const [name, assignment] of assigned) {
          const node = ciliumNodes.get(name)!;
          if (!isWritten(node, assignment)) queue.add(name);
          if (assignment.lacks !== undefined) lacking++;
          troubles.tell(node, assignment);
        }
        if (lacking > 0)
          health.set(
            "pod-cidrs/pools",
            "degraded",
            `${lacking} node(s) without a pod CIDR: the pools are used up`,
          );
        else health.set("pod-cidrs/pools", "ok", poolText(podCidrs));
        return `${assigned.size} node(s)`;
      },
    }),
  );
  return stack;
}

/** Tells of nodes without pod CIDRs and of CIDRs that two have: each trouble once. */
class Troubles {
  readonly #deps: Pick<AssignDeps, "events" | "log">;
  /** By node. */
  readonly #told = new Map<string, string>();

  constructor(deps: Pick<AssignDeps, "events" | "log">) {
    this.#deps = deps;
  }

  /** Forgets what was told of others. */
  keep(isThere: (node: string) => boolean): void {
    for (const name of this.#told.keys()) if (!isThere(name)) this.#told.delete(name);
  }

  tell(node: CiliumNode, { lacks, conflicts, podCidrs: given }: Assignment): void {
    const { events, log } = this.#deps;
    const owned = conflicts.map(({ cidr, owner }) => `${cidr} is node ${owner}'s`);
    const text = [lacks ?? "", ...owned].join("; ");
    if (text === (this.#told.get(node.name) ?? "")) return;
    this.#told.set(node.name, text);
    if (lacks !== undefined) {
      log.error(
        { node: node.name, problem: lacks },
        "no pod CIDR for a node: add one to clusterPool, or remove nodes",
      );
      events.warn(nodeRef(node), "PodCIDRsExhausted", `${lacks}. Add a CIDR to the operator's clusterPool.`);
    }
    for (const { cidr, owner } of conflicts) {
      log.warn({ node: node.name, cidr, owner, given }, "pod CIDR of two nodes: the older keeps it");
      events.warn(
        nodeRef(node),
        "PodCIDRConflict",
        `${cidr} is in use by node ${owner}, given instead: ${given.join(", ")}`,
      );
    }
  }
}

function nodeRef({ name, uid }: CiliumNode) {
  return { apiVersion: "cilium.io/v2", kind: "CiliumNode", name, uid };
}

function poolText({ pools }: PodCidrs): string {
  return pools.map((pool) => `IPv${pool.family}: ${pool.used} of ${pool.size} used`).join(", ");
}

function isWritten(node: CiliumNode, { podCidrs, lacks = "" }: Assignment): boolean {
  return isDeepStrictEqual(node.podCidrs, podCidrs) && node.operatorError === lacks;
}

/** Only onto the version we have seen: what somebody changed meanwhile is looked at first. */
async function write(
  client: KubeClient,
  { node, assignment, signal }: { node: CiliumNode; assignment: Assignment; signal: AbortSignal },
): Promise<void> {
  const { podCidrs, lacks } = assignment;
  const { name } = node;
  let { resourceVersion } = node;
  if (!isDeepStrictEqual(node.podCidrs, podCidrs)) {
    const body = { metadata: { resourceVersion }, spec: { ipam: { podCIDRs: podCidrs } } };
    const made = await client.patch(resources.ciliumNodes, { name }, { type: "merge", body }, { signal });
    resourceVersion = made.metadata?.resourceVersion ?? resourceVersion;
  }
  if (node.operatorError !== (lacks ?? "")) {
    const status = { ipam: { "operator-status": { error: lacks ?? null } } };
    const body = { metadata: { resourceVersion }, status };
    await client.patch(
      resources.ciliumNodes,
      { name },
      { type: "merge", body },
      { subresource: "status", signal },
    );
  }
}
