// SPDX-License-Identifier: Apache-2.0
import { parseAddress, parsePrefix } from "#model/ip.ts";
import type { End } from "#policy/offline/end.ts";
import type { Judge } from "#policy/offline/judge.ts";
import type { SourcedObject } from "#policy/offline/objects.ts";
import type { ClusterSettings } from "#policy/offline/settings.ts";
import { type Cluster, type Manifest, settingsOf } from "./oracle/cluster.ts";

/** The cluster as its API server would tell of it. */
export function objectsOf(cluster: Cluster, manifests: readonly Manifest[]): SourcedObject[] {
  const spaces = Object.entries(cluster.namespaces).map(([name, labels]) => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels },
  }));
  const nodes = cluster.nodes.map(({ name, labels, addresses }) => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels },
    status: { addresses: addresses.map((address) => ({ type: "InternalIP", address })) },
  }));
  const pods = cluster.pods.map(
    ({ namespace, name, serviceAccount, node, addresses, ports, ...metadata }) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace, name, ...metadata },
      spec: {
        serviceAccountName: serviceAccount,
        nodeName: node,
        containers: [
          { name: "main", ports: ports.map(({ port, ...rest }) => ({ ...rest, containerPort: port })) },
        ],
      },
      status: { podIPs: addresses.map((ip) => ({ ip })) },
    }),
  );
  return [...apiServers(cluster), ...spaces, ...nodes, ...pods, ...cluster.referred, ...manifests].map(
    (object) => ({
      object: object as SourcedObject["object"],
    }),
  );
}

/** The Service that everybody knows them by. */
function apiServers({ apiServers: addresses }: Cluster): object[] {
  const metadata = { name: "kubernetes", namespace: "default" };
  const labels = { "kubernetes.io/service-name": "kubernetes" };
  return [
    { apiVersion: "v1", kind: "Service", metadata, spec: { ports: [{ name: "https", port: 443 }] } },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { ...metadata, labels },
      endpoints: addresses.map((address) => ({ addresses: [address] })),
      ports: [{ name: "https", port: 6443 }],
    },
  ];
}

/** Whoever has the address. */
export function endOf({ cluster }: Judge, address: string): End {
  const parsed = parseAddress(address);
  const pod = cluster.pods.find(({ addresses }) => addresses.includes(parsed));
  return pod ? { kind: "pod", pod } : { kind: "address", address: parsed };
}

/** How the agents of the cluster are set. */
export function offlineSettings(cluster: Cluster): Partial<ClusterSettings> {
  const { enforcement, audit, neverLockOut } = settingsOf(cluster);
  const { apiServerAddress: server, ...rest } = neverLockOut;
  const hostFirewall = {
    ...rest,
    cidrs: rest.cidrs.map((cidr) => parsePrefix(cidr)),
    ...(server !== undefined && { apiServerAddress: parseAddress(server) }),
  };
  return { enforcement, audit, hostFirewall };
}
