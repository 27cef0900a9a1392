// SPDX-License-Identifier: Apache-2.0
import type { Address } from "#model/ip.ts";
import { labelText } from "#model/labels.ts";
import type { Database, WritableTable } from "#store/table.ts";
import type { Endpoint, NamedPort } from "./endpoint.ts";

/**
 * Endpoints of this node. Key: the id.
 * @param inKernel what is in force for one, for its columns
 */
export function endpointTable(
  db: Database,
  inKernel: (id: string) => DatapathEndpoint | undefined = () => undefined,
): WritableTable<Endpoint> {
  const modes = (row: Endpoint) => inKernel(String(row.id));
  return db.table<Endpoint>({
    name: "endpoints",
    key: (row) => String(row.id),
    indexes: {
      pod: (row) => [`${row.namespace}/${row.pod}`],
      container: (row) => [`${row.containerId}/${row.ifname}`],
      namespace: (row) => [row.namespace],
      identity: (row) => [String(row.identity)],
    },
    columns: [
      { name: "ID", of: (row) => row.id },
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "POD", of: (row) => row.pod },
      { name: "IDENTITY", of: (row) => row.identity },
      { name: "IPV4", of: (row) => row.v4 ?? "" },
      { name: "IPV6", of: (row) => row.v6 ?? "" },
      { name: "INGRESS", of: (row) => ingressMode(modes(row)) },
      { name: "EGRESS", of: (row) => egressMode(modes(row)) },
      { name: "DEVICE", of: (row) => row.hostIfname },
      { name: "SOURCE", of: (row) => sourceMode(modes(row)), wide: true },
      { name: "IFINDEX", of: (row) => row.hostIfindex, wide: true },
      { name: "LABELS", of: (row) => labelText(row.labels), wide: true },
    ],
  });
}

/** The object that a user made and that stands behind a pod: `Deployment front`. */
export interface Workload {
  readonly kind: string;
  readonly name: string;
}

/** What the API server says of a pod of this node: labels for its identity, names for flows and events. */
export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Of the mirror of a static pod: the uid the kubelet gives to the runtime. */
  readonly staticUid?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  /** Says of itself that it serves, and is not being deleted. */
  readonly ready?: true;
  readonly namedPorts: readonly NamedPort[];
  readonly hostPorts?: readonly PodHostPort[];
  /** What the pod was made for. */
  readonly workload?: Workload;
  /** What policies deny it is told and not enforced. */
  readonly audit?: true;
  /** Asks to send from addresses that are not its own: granted where the namespace delegates it. */
  readonly anySource?: true;
  /** Its connections may go past the network, or must not; absent: as the node's setting has it. */
  readonly sockmap?: boolean;
}

/** A port of the node that leads to the pod. */
export interface PodHostPort {
  /** IANA number: 6 TCP, 17 UDP, 132 SCTP. */
  readonly proto: number;
  readonly port: number;
  /** Absent: every address of the node. */
  readonly hostIp?: Address;
  readonly targetPort: number;
}

export function podTable(db: Database): WritableTable<Pod> {
  return db.table<Pod>({
    name: "pods",
    key: (row) => `${row.namespace}/${row.name}`,
    indexes: { namespace: (row) => [row.namespace] },
    equal: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    columns: [
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "NAME", of: (row) => row.name },
      { name: "UID", of: (row) => row.uid, wide: true },
      { name: "SERVICEACCOUNT", of: (row) => row.serviceAccount },
    ],
  });
}

export interface Namespace {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Its pods may say that they send from addresses that are not theirs. */
  readonly delegatesSource?: true;
}

export function namespaceTable(db: Database): WritableTable<Namespace> {
  return db.table<Namespace>({
    name: "namespaces",
    key: (row) => row.name,
    equal: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    columns: [
      { name: "NAME", of: (row) => row.name },
      {
        name: "LABELS",
        of: (row) =>
          Object.entries(row.labels)
            .map(([k, v]) => `${k}=${v}`)
            .join(","),
      },
    ],
  });
}

/** A pod anywhere in the cluster, as its node's agent published it (CiliumEndpoint): names for flows, ports for policies. */
export interface ClusterEndpoint {
  readonly namespace: string;
  readonly name: string;
  readonly identity: number;
  readonly addresses: readonly string[];
  readonly nodeAddress: string;
  readonly namedPorts: readonly NamedPort[];
  readonly labels: readonly string[];
  readonly workload?: Workload;
}

export function clusterEndpointTable(db: Database): WritableTable<ClusterEndpoint> {
  return db.table<ClusterEndpoint>({
    name: "cluster-endpoints",
    key: (row) => `${row.namespace}/${row.name}`,
    indexes: { identity: (row) => [String(row.identity)], address: (row) => row.addresses },
    equal: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    columns: [
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "NAME", of: (row) => row.name },
      { name: "IDENTITY", of: (row) => row.identity },
      { name: "ADDRESSES", of: (row) => row.addresses.join(",") },
      { name: "NODE", of: (row) => row.nodeAddress },
    ],
  });
}

/** Desired row of the two endpoint maps. */
export interface DatapathEndpoint {
  readonly endpoint: Endpoint;
  readonly policyId: number;
  readonly policyRevision: number;
  readonly enforceIngress: boolean;
  readonly enforceEgress: boolean;
  /** What its policy denies is told and not enforced. */
  readonly audit: boolean;
  /** Some of its policies are in audit. */
  readonly audits: boolean;
  readonly anySource: boolean;
}

export function datapathEndpointTable(db: Database): WritableTable<DatapathEndpoint> {
  return db.table<DatapathEndpoint>({
    name: "datapath-endpoints",
    key: (row) => String(row.endpoint.id),
    equal: (a, b) =>
      a.endpoint === b.endpoint &&
      a.policyId === b.policyId &&
      a.policyRevision === b.policyRevision &&
      a.enforceIngress === b.enforceIngress &&
      a.enforceEgress === b.enforceEgress &&
      a.audit === b.audit &&
      a.audits === b.audits &&
      a.anySource === b.anySource,
    columns: [
      { name: "ID", of: (row) => row.endpoint.id },
      { name: "POD", of: (row) => `${row.endpoint.namespace}/${row.endpoint.pod}` },
      { name: "IDENTITY", of: (row) => row.endpoint.identity },
      { name: "POLICY", of: (row) => row.policyId },
      { name: "REVISION", of: (row) => row.policyRevision },
      { name: "INGRESS", of: ingressMode },
      { name: "EGRESS", of: egressMode },
      { name: "SOURCE", of: sourceMode },
    ],
  });
}

function ingressMode(row: DatapathEndpoint | undefined): string {
  return row ? modeOf(row, row.enforceIngress) : "";
}

function egressMode(row: DatapathEndpoint | undefined): string {
  return row ? modeOf(row, row.enforceEgress) : "";
}

/** Which source addresses it may send from. */
function sourceMode(row: DatapathEndpoint | undefined): string {
  return row ? (row.anySource ? "any" : "own") : "";
}

/** `enforced+audit`: some of its policies are in audit, the others are enforced. */
function modeOf({ audit, audits }: DatapathEndpoint, enforced: boolean): string {
  if (audit) return enforced || audits ? "audit" : "open";
  if (audits) return enforced ? "enforced+audit" : "audit";
  return enforced ? "enforced" : "open";
}
