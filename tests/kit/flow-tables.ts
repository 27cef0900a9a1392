// SPDX-License-Identifier: Apache-2.0
import type { FlowTables } from "#flows/feed.ts";
import type { Address } from "#model/ip.ts";
import { parseLabels } from "#model/labels.ts";
import { Database, type TableOptions, type WritableTable } from "#store/table.ts";

type Rows<T> = {
  readonly [K in keyof T]: T[K] extends { all(): IterableIterator<infer V> } ? WritableTable<V> : never;
};

/** Tables as the flows thread is fed from, and what fills them with a client, a front, a service and a policy. */
export function flowTables(): Rows<FlowTables> & { fill(): void } {
  const db = new Database();
  const table = <V>(
    name: string,
    key: (row: V) => string,
    indexes: TableOptions<V>["indexes"] = {},
  ): WritableTable<V> => db.table<V>({ name, key, indexes, columns: [] });
  const tables: Rows<FlowTables> = {
    endpoints: table("endpoints", ({ id }) => String(id), {
      pod: ({ namespace, pod }) => [`${namespace}/${pod}`],
    }),
    pods: table("pods", ({ namespace, name }) => `${namespace}/${name}`),
    clusterEndpoints: table("cluster-endpoints", ({ namespace, name }) => `${namespace}/${name}`),
    identities: table("identities", ({ id }) => String(id)),
    frontends: table("frontends", ({ address, port }) => `${address}:${port}`),
    frontendIds: table("frontend-ids", ({ id }) => String(id)),
    rules: table("rules", ({ id }) => String(id)),
    nodes: table("nodes", ({ name }) => name),
  };
  const fill = () =>
    db.write((tx) => {
      for (const [id, name, address] of [
        [11, "client-xyz", "10.0.0.1"],
        [12, "front-abc", "10.0.0.2"],
      ] as const) {
        const pod = {
          id,
          namespace: "shop",
          pod: name,
          v4: address as Address,
          hostIfname: `weft${id}`,
          hostIfindex: id,
        };
        tx.put(tables.endpoints, pod);
        const workload = { kind: "Deployment", name: name.split("-")[0]! };
        tx.put(tables.pods, { namespace: "shop", name, workload });
        tx.put(tables.clusterEndpoints, { namespace: "shop", name, addresses: [address] });
      }
      tx.put(tables.identities, { id: 1234, labels: parseLabels(["k8s:app=client"]) });
      tx.put(tables.identities, { id: 5678, labels: parseLabels(["k8s:app=front"]) });
      tx.put(tables.frontends, {
        namespace: "shop",
        name: "front",
        address: "10.96.0.7" as Address,
        port: 80,
        proto: 6,
      });
      tx.put(tables.frontendIds, { id: 7, namespace: "shop", name: "front" });
      const origin = { kind: "NetworkPolicy", namespace: "shop", name: "front-from-client", uid: "u1" };
      tx.put(tables.rules, { id: 77, origins: [origin] });
      tx.put(tables.nodes, {
        name: "n1",
        self: true,
        addresses: ["10.9.0.1" as Address],
        labels: parseLabels(["k8s:zone=a"]),
      });
    });
  return { ...tables, fill };
}
