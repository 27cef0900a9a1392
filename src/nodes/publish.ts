// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from "node:util";
import type { KubeClient } from "#k8s/client.ts";
import { isConflict } from "#k8s/errors.ts";
import { resources } from "#k8s/resource.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Table } from "#store/table.ts";
import { startWorkQueue } from "#store/work-queue.ts";
import type { CiliumNode, CiliumNodeObject } from "./cilium-node.ts";
import { type Node, routerAddress } from "./node.ts";

export type IpamMode = "kubernetes" | "cluster-pool";

/** What an agent says of its node. */
export interface Published {
  readonly node: Node;
  readonly bootId: string;
  readonly ipam: IpamMode;
}

/** The CiliumNode of a node. With ipam cluster-pool its pod CIDRs are the operator's, unless there is no such object yet. Pure. */
export function ciliumNodeOf({ node, bootId }: Published): CiliumNodeObject {
  const routers = ([4, 6] as const).flatMap((of) => routerAddress(node, of) ?? []);
  const owner = { apiVersion: "v1", kind: "Node", name: node.name, uid: node.uid ?? "" };
  const labels = [...node.labels].map(([key, value]) => [key.replace(/^k8s:/, ""), value]);
  return {
    apiVersion: "cilium.io/v2",
    kind: "CiliumNode",
    metadata: {
      name: node.name,
      labels: Object.fromEntries(labels) as Record<string, string>,
      ...(node.uid && { ownerReferences: [owner] }),
    },
    spec: {
      bootid: bootId,
      addresses: [
        ...node.addresses.map((ip) => ({ type: "InternalIP", ip })),
        ...routers.map((ip) => ({ type: "CiliumInternalIP", ip })),
      ],
      ipam: { podCIDRs: node.podCidrs },
    },
  };
}

/** A merge patch that makes the object what it should be; undefined: it is. Pure. */
export function ciliumNodePatch(wanted: Published, actual: CiliumNode): object | undefined {
  const { metadata, spec } = ciliumNodeOf(wanted);
  const { ipam, ...described } = spec;
  const kubernetes = wanted.ipam === "kubernetes";
  const { ipam: actualIpam, bootid, addresses } = actual.spec;
  const same =
    isDeepStrictEqual(metadata.labels, actual.labels) &&
    (wanted.node.uid ?? actual.ownerUid) === actual.ownerUid &&
    isDeepStrictEqual(described, { bootid, addresses }) &&
    (!kubernetes || isDeepStrictEqual(ipam?.podCIDRs, actualIpam?.podCIDRs));
  if (same) return undefined;
  const gone = Object.keys(actual.labels).filter((key) => metadata.labels?.[key] === undefined);
  return {
    metadata: {
      labels: { ...metadata.labels, ...Object.fromEntries(gone.map((key) => [key, null])) },
      ...(metadata.ownerReferences && { ownerReferences: metadata.ownerReferences }),
    },
    spec: { ...described, ...(kubernetes && { ipam }) },
  };
}

export interface NodePublisherDeps {
  readonly client: KubeClient;
  /** This node as it was at the start. */
  readonly self: Node;
  readonly nodes: Table<Node>;
  /** At least this node's. */
  readonly ciliumNodes: Table<CiliumNode>;
  readonly bootId: string;
  readonly ipam: IpamMode;
  readonly health: Health;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Keeps this node's CiliumNode as it should be: made when it is missing, mended when somebody changed it. */
export function startNodePublisher(deps: NodePublisherDeps): AsyncDisposable {
  const { client, self, nodes, ciliumNodes, bootId, ipam, health, log, signal } = deps;
  const queue = startWorkQueue({
    name: "cilium-node",
    health,
    log,
    signal,
    async work(name, until) {
      // Labels and the object's uid may be new; addresses and pod CIDRs are those this agent works with.
      const { labels, uid } = nodes.get(name) ?? self;
      const node = { ...self, labels, ...(uid !== undefined && { uid }) };
      const wanted = { node, bootId, ipam };
      const actual = ciliumNodes.get(name);
      if (actual) {
        const body = ciliumNodePatch(wanted, actual);
        if (body)
          await client.patch(resources.ciliumNodes, { name }, { type: "merge", body }, { signal: until });
        return;
      }
      try {
        await client.create(resources.ciliumNodes, ciliumNodeOf(wanted), { signal: until });
      } catch (thrown) {
        // The watch will show it.
        if (!isConflict(thrown)) throw thrown;
      }
    },
  });
  const look = (names: ReadonlySet<string>) => {
    if (names.has(self.name) && ciliumNodes.isReady) queue.add(self.name);
  };
  const stops = [nodes.onCommit(look), ciliumNodes.onCommit(look)];
  void Promise.all([nodes.ready, ciliumNodes.ready]).then(() => queue.add(self.name));
  return {
    async [Symbol.asyncDispose]() {
      for (const stop of stops) stop();
      await queue[Symbol.asyncDispose]();
    },
  };
}
