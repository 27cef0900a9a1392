// SPDX-License-Identifier: Apache-2.0
import type { Address, Prefix } from "#model/ip.ts";
import type { ServiceAnnotations } from "#services/annotations.ts";
import { type Backend, type Frontend, frontendKey, protoName } from "#services/service.ts";
import type { Database, WritableTable } from "#store/table.ts";

/** A Kubernetes Service: intent. */
export interface Service extends Omit<ServiceAnnotations, "problems"> {
  readonly namespace: string;
  readonly name: string;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer";
  /** None: headless. */
  readonly clusterIps: readonly Address[];
  readonly externalIps: readonly Address[];
  /** status.loadBalancer.ingress[].ip */
  readonly ingressIps: readonly Address[];
  readonly ports: readonly ServicePort[];
  /** 0: no session affinity. */
  readonly affinitySec: number;
  /** Backends of its own node only answer on the cluster addresses (internalTrafficPolicy Local). */
  readonly internalLocal: boolean;
  /** The same for who comes from outside (externalTrafficPolicy Local): the backends see their address. */
  readonly externalLocal: boolean;
  /** Who may ask at the load balancer's addresses (loadBalancerSourceRanges); empty: everybody. */
  readonly sourceRanges: readonly Prefix[];
  /** Where the node says whether it has a backend (healthCheckNodePort); 0: nowhere. */
  readonly healthCheckPort: number;
  readonly publishNotReady: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  /** Absent: it has none. */
  readonly loadBalancerClass?: string;
  /** When it was made; of two that claim one address and port, the older one has it. */
  readonly createdMs: number;
  /** Labels of its pods; absent: somebody else writes its EndpointSlices. */
  readonly selector?: Readonly<Record<string, string>>;
  /** What of it is not served, and why. */
  readonly problems: readonly string[];
}

export interface ServicePort {
  readonly name: string;
  /** IANA number: 6 TCP, 17 UDP. */
  readonly proto: number;
  readonly port: number;
  /** 0: none. */
  readonly nodePort: number;
}

/** A port of the node that leads to one pod on it (hostPort): intent. */
export interface HostPort {
  readonly namespace: string;
  readonly pod: string;
  /** IANA number: 6 TCP, 17 UDP. */
  readonly proto: number;
  readonly port: number;
  /** Absent: every address of the node. */
  readonly hostIp?: Address;
  readonly targetPort: number;
  readonly targets: readonly Address[];
  /** Why it is not served. */
  readonly problem?: string;
}

export function hostPortTable(db: Database): WritableTable<HostPort> {
  return db.table<HostPort>({
    name: "host-ports",
    key: ({ namespace, pod, proto, port, hostIp = "*" }) =>
      `${namespace}/${pod} ${hostIp}:${port}/${protoName(proto)}`,
    equal: sameJson,
    columns: [
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "POD", of: (row) => row.pod },
      { name: "ADDRESS", of: (row) => row.hostIp ?? "*" },
      { name: "PORT", of: (row) => `${row.port}/${protoName(row.proto)}` },
      { name: "TARGET", of: (row) => row.targets.map((target) => `${target} ${row.targetPort}`).join(",") },
      { name: "PROBLEM", of: (row) => row.problem ?? "" },
    ],
  });
}

/** What a load balancer is told at a Service's healthCheckNodePort. */
export interface HealthCheck {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  /** Ready ones of this node. */
  readonly localEndpoints: number;
}

export function healthCheckTable(db: Database): WritableTable<HealthCheck> {
  return db.table<HealthCheck>({
    name: "health-checks",
    key: serviceKey,
    equal: sameJson,
    columns: [
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "NAME", of: (row) => row.name },
      { name: "PORT", of: (row) => row.port },
      { name: "LOCAL-ENDPOINTS", of: (row) => row.localEndpoints },
    ],
  });
}

/** A part of the endpoints of a Service: intent. All of one family. */
export interface EndpointSlice {
  readonly namespace: string;
  readonly name: string;
  /** `namespace/name` of the Service. */
  readonly service: string;
  /** By the Service's port name: a named target port has become a number here. */
  readonly ports: readonly { readonly name: string; readonly proto: number; readonly port: number }[];
  readonly endpoints: readonly SliceEndpoint[];
  /** Not made of pods by Kubernetes itself. */
  readonly foreign?: true;
}

export type SliceEndpoint = Omit<Backend, "port" | "proto">;

export function serviceKey(row: { readonly namespace: string; readonly name: string }): string {
  return `${row.namespace}/${row.name}`;
}

/** Every address that is a service's own. */
export function addressesOf({ clusterIps, externalIps, ingressIps }: Service): readonly Address[] {
  return [...clusterIps, ...externalIps, ...ingressIps];
}

export function serviceTable(db: Database): WritableTable<Service> {
  return db.table<Service>({
    name: "services",
    key: serviceKey,
    indexes: { address: addressesOf },
    equal: sameJson,
    columns: [
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "NAME", of: (row) => row.name },
      { name: "TYPE", of: (row) => row.type },
      { name: "CLUSTER-IPS", of: (row) => row.clusterIps.join(",") || "None" },
      { name: "EXTERNAL-IPS", of: (row) => [...row.externalIps, ...row.ingressIps].join(",") },
      { name: "PORTS", of: (row) => row.ports.map(portText).join(",") },
      { name: "PROBLEMS", of: (row) => row.problems.join("; ") },
    ],
  });
}

function portText({ port, nodePort, proto }: ServicePort): string {
  return `${port}${nodePort ? `:${nodePort}` : ""}/${protoName(proto)}`;
}

export function endpointSliceTable(db: Database): WritableTable<EndpointSlice> {
  return db.table<EndpointSlice>({
    name: "endpoint-slices",
    key: serviceKey,
    indexes: {
      service: (row) => [row.service],
      address: (row) => (row.foreign ? row.endpoints.map(({ address }) => address) : []),
    },
    equal: sameJson,
    columns: [
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "NAME", of: (row) => row.name },
      { name: "SERVICE", of: (row) => row.service },
      {
        name: "PORTS",
        of: (row) => row.ports.map(({ port, proto }) => `${port}/${protoName(proto)}`).join(","),
      },
      { name: "ENDPOINTS", of: (row) => row.endpoints.map((endpoint) => endpoint.address).join(",") },
    ],
  });
}

/** Desired content of the load balancer's maps. Key: `address:port/PROTO`, `…/local` for that scope. */
export function frontendTable(db: Database): WritableTable<Frontend> {
  return db.table<Frontend>({
    name: "frontends",
    key: frontendKey,
    indexes: {
      service: (row) => [serviceKey(row)],
      address: (row) => [row.address],
      contested: (row) => row.contested ?? [],
    },
    equal: sameJson,
    columns: [
      { name: "FRONTEND", of: frontendKey },
      { name: "TYPE", of: (row) => row.type },
      { name: "SERVICE", of: serviceKey },
      { name: "PORT-NAME", of: (row) => row.portName },
      { name: "BACKENDS", of: (row) => row.backends.map(backendText).join(",") },
      { name: "DRAINING", of: (row) => (row.draining ?? []).map(backendText).join(","), wide: true },
      { name: "CLAIMED-BY-ALSO", of: (row) => (row.contested ?? []).join(","), wide: true },
    ],
  });
}

function backendText({ address, port }: Backend): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Which number a frontend has in maps and events. Key: the number. */
export interface FrontendId {
  readonly id: number;
  /** Key in table `frontends`. */
  readonly frontend: string;
  readonly namespace: string;
  readonly name: string;
  readonly portName: string;
}

export function frontendIdTable(db: Database): WritableTable<FrontendId> {
  return db.table<FrontendId>({
    name: "frontend-ids",
    key: (row) => String(row.id),
    indexes: { frontend: (row) => [row.frontend] },
    equal: sameJson,
    columns: [
      { name: "ID", of: (row) => row.id },
      { name: "FRONTEND", of: (row) => row.frontend },
      { name: "SERVICE", of: serviceKey },
      { name: "PORT-NAME", of: (row) => row.portName },
    ],
  });
}

function sameJson(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
