// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isConflict, isNamespaceGoing, isNotFound } from "#k8s/errors.ts";
import { resources } from "#k8s/resource.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { labelList } from "#model/labels.ts";
import { type Reconciler, startReconciler } from "#store/reconciler.ts";
import type { Database, WritableTable } from "#store/table.ts";
import type { CiliumEndpointObject } from "./source.ts";
import type { DatapathEndpoint } from "./table.ts";

export interface PublishDeps {
  readonly db: Database;
  readonly client: KubeClient;
  readonly endpoints: WritableTable<DatapathEndpoint>;
  /** Own underlay address: where other nodes send what is for these pods. */
  readonly nodeAddress: string;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
}

type Published = { readonly object: CiliumEndpointObject };

const protocolNames: Readonly<Record<number, string>> = { 6: "TCP", 17: "UDP", 132: "SCTP" };

function objectOf(
  { endpoint, enforceIngress, enforceEgress }: DatapathEndpoint,
  nodeAddress: string,
): CiliumEndpointObject {
  const addressing = { ...(endpoint.v4 && { ipv4: endpoint.v4 }), ...(endpoint.v6 && { ipv6: endpoint.v6 }) };
  const status = {
    id: endpoint.id,
    state: "ready",
    identity: { id: endpoint.identity, labels: labelList(endpoint.labels) },
    networking: { addressing: [addressing], node: nodeAddress },
    "external-identifiers": {
      "container-id": endpoint.containerId,
      "k8s-namespace": endpoint.namespace,
      "k8s-pod-name": endpoint.pod,
      "pod-name": `${endpoint.namespace}/${endpoint.pod}`,
    },
    "named-ports": endpoint.namedPorts.map(({ name, port, proto }) => ({
      name,
      port,
      protocol: protocolNames[proto] ?? "TCP",
    })),
    policy: {
      ingress: { enforcing: enforceIngress, state: enforceIngress ? "enforcing" : "<status disabled>" },
      egress: { enforcing: enforceEgress, state: enforceEgress ? "enforcing" : "<status disabled>" },
    },
  };
  return {
    apiVersion: "cilium.io/v2",
    kind: "CiliumEndpoint",
    metadata: {
      namespace: endpoint.namespace,
      name: endpoint.pod,
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: endpoint.pod, uid: endpoint.podUid }],
    },
    status,
  };
}

/** Tells the cluster of this node's endpoints: one CiliumEndpoint a pod. Others learn addresses, identities and named ports from it. */
export function startPublisher(deps: PublishDeps): Reconciler {
  const { client } = deps;
  const collection = resources.ciliumEndpoints;
  const put = async ({ object }: Published): Promise<void> => {
    const ref = { namespace: object.metadata.namespace, name: object.metadata.name };
    try {
      await client.create(collection, object, { signal: deps.signal });
    } catch (error) {
      // The pod is still there while its namespace goes; what would be made anew now would only be taken away again.
      if (isNamespaceGoing(error)) return;
      if (!isConflict(error)) throw error;
      // The name was another pod's before (StatefulSet), or an earlier run of this agent published it.
      await client.patch(
        collection,
        ref,
        {
          type: "merge",
          body: { metadata: { ownerReferences: object.metadata.ownerReferences }, status: object.status },
        },
        { signal: deps.signal },
      );
    }
  };
  return startReconciler<DatapathEndpoint, Published>({
    name: "cilium-endpoints",
    table: deps.endpoints,
    db: deps.db,
    encode: (row) => ({ object: objectOf(row, deps.nodeAddress) }),
    ops: {
      list: () => listOwn(client, deps),
      update: (batch) => each(batch, put),
      delete: (batch) =>
        each(batch, async ({ object }) => {
          const { namespace, name } = object.metadata;
          try {
            const uid = object.metadata.ownerReferences?.[0]?.uid;
            const current = await client.get<CiliumEndpointObject>(
              collection,
              { namespace, name },
              deps.signal,
            );
            // A new sandbox of the same pod has published itself under the same name.
            if (
              current.metadata.ownerReferences?.[0]?.uid !== uid ||
              current.status?.id !== object.status?.id
            )
              return;
            await client.delete(collection, { namespace, name }, { signal: deps.signal });
          } catch (error) {
            if (!isNotFound(error)) throw error;
          }
        }),
    },
    signal: deps.signal,
    health: deps.health,
    log: deps.log,
    refreshMs: 10 * 60_000,
  });
}

/** What earlier runs published for this node, keyed as the desired table is: by endpoint id. */
async function listOwn(
  client: KubeClient,
  deps: PublishDeps,
): Promise<Iterable<readonly [string, Published]>> {
  const found: [string, Published][] = [];
  let continueToken: string | undefined;
  do {
    // In pages: the whole cluster's at once are too much for one node's agent.
    const page = await client.list<CiliumEndpointObject>(resources.ciliumEndpoints, {
      limit: 500,
      continueToken,
      signal: deps.signal,
    });
    for (const object of page.items) {
      const { id, networking } = object.status ?? {};
      if (networking?.node === deps.nodeAddress && id) found.push([String(id), { object: strip(object) }]);
    }
    continueToken = page.continueToken;
  } while (continueToken);
  return found;
}

function strip(object: CiliumEndpointObject): CiliumEndpointObject {
  const { namespace, name, ownerReferences } = object.metadata;
  return {
    apiVersion: "cilium.io/v2",
    kind: "CiliumEndpoint",
    metadata: { namespace, name, ...(ownerReferences && { ownerReferences }) },
    ...(object.status && { status: object.status }),
  };
}

async function each(
  batch: ReadonlyMap<string, Published>,
  work: (value: Published) => Promise<void>,
): Promise<Map<string, unknown>> {
  const failures = new Map<string, unknown>();
  await Promise.all(
    [...batch].map(([key, value]) => work(value).catch((error: unknown) => failures.set(key, error))),
  );
  return failures;
}
