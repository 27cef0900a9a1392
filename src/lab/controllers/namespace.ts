// SPDX-License-Identifier: Apache-2.0
import { type Cluster, kinds } from "../cluster.ts";
import { type QueueOptions, startQueue } from "./queue.ts";

/** What every namespace has: the ServiceAccount `default` and the API server's certificate as `kube-root-ca.crt`. */
export function startNamespaces(cluster: Cluster, deps: Pick<QueueOptions, "log" | "signal"> & { readonly ca: string }): void {
  const namespaces = cluster.cache(kinds.namespace);
  const queue = startQueue({ ...deps, name: "namespace", reconcile: (key) => furnish(cluster, key, deps.ca) });
  namespaces.onChange(({ type, object }) => {
    if (type === "put" && object.status?.phase !== "Terminating") queue.add(object.metadata.name);
  });
  for (const namespace of namespaces.all()) queue.add(namespace.metadata.name);
}

async function furnish(cluster: Cluster, namespace: string, ca: string): Promise<undefined> {
  const object = cluster.cache(kinds.namespace).get(namespace);
  if (!object || object.metadata.deletionTimestamp) return;
  if (!cluster.cache(kinds.serviceAccount).get(`${namespace}/default`)) {
    await cluster.create(kinds.serviceAccount, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "default", namespace },
    });
  }
  if (!cluster.cache(kinds.configMap).get(`${namespace}/kube-root-ca.crt`)) {
    await cluster.create(kinds.configMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "kube-root-ca.crt", namespace },
      data: { "ca.crt": ca },
    });
  }
}
