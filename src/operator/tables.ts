// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import { clusterIdentityRange } from "#model/identity.ts";
import { ciliumNodeTable } from "#nodes/cilium-node.ts";
import { nodeTable } from "#nodes/table.ts";
import { addressesOf, endpointSliceTable, serviceKey } from "#services/table.ts";
import { Database, type WritableTable } from "#store/table.ts";
import { coreText, type PublishedEndpoint } from "./core-endpoint.ts";
import type { FollowedService } from "./followed-services.ts";
import type { WrittenL2Policy } from "./l2-policies.ts";
import type { LbPool } from "./lb-ipam-pool.ts";
import { type LbService, lbServiceKey } from "./lb-ipam-service.ts";
import { checkedPolicyTable } from "./policy-checks.ts";
import type { WatchedService } from "./service-problems.ts";
import type { Slice } from "./slices.ts";

/** A Node, as far as it matters that there is one. */
export interface KubeNode {
  readonly name: string;
  readonly addresses: readonly string[];
}

/** A CiliumIdentity, as far as its removal needs it: labels are not kept. */
export interface UsedIdentity {
  readonly id: number;
  readonly uid: string;
  readonly resourceVersion: string;
  /** When an operator first found it unused and wrote so, milliseconds since the epoch; undefined: it did not. */
  readonly unusedSinceMs?: number;
}

/** Every table of the operator. */
export function operatorTables(db = new Database()) {
  return {
    db,
    kubeNodes: kubeNodeTable(db),
    ciliumNodes: ciliumNodeTable(db),
    identities: usedIdentityTable(db),
    endpoints: publishedEndpointTable(db),
    slices: sliceTable(db),
    lbPools: lbPoolTable(db),
    services: followedServiceTable(db),
    lbServices: lbServiceTable(db),
    watchedServices: watchedServiceTable(db),
    foreignSlices: endpointSliceTable(db),
    l2Policies: l2PolicyTable(db),
    checkedPolicies: checkedPolicyTable(db),
    gatewayNodes: nodeTable(db),
  };
}

export type OperatorTables = ReturnType<typeof operatorTables>;

function kubeNodeTable(db: Database): WritableTable<KubeNode> {
  return db.table<KubeNode>({
    name: "kube-nodes",
    key: (row) => row.name,
    indexes: { address: (row) => row.addresses },
    equal: (a, b) => a.addresses.join() === b.addresses.join(),
    columns: [
      { name: "NAME", of: (row) => row.name },
      { name: "ADDRESSES", of: (row) => row.addresses.join(",") },
    ],
  });
}

function usedIdentityTable(db: Database): WritableTable<UsedIdentity> {
  return db.table<UsedIdentity>({
    name: "identities",
    key: (row) => String(row.id),
    equal: (a, b) => a.uid === b.uid && a.resourceVersion === b.resourceVersion,
    columns: [
      { name: "ID", of: (row) => row.id },
      { name: "UNUSED-SINCE", of: (row) => row.unusedSinceMs ?? "" },
    ],
  });
}

function publishedEndpointTable(db: Database): WritableTable<PublishedEndpoint> {
  return db.table<PublishedEndpoint>({
    name: "endpoints",
    key: (row) => `${row.namespace}/${row.name}`,
    indexes: { identity: (row) => [String(row.id)], namespace: (row) => [row.namespace] },
    equal: (a, b) => a.uid === b.uid && coreText(a) === coreText(b),
    columns: [
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "NAME", of: (row) => row.name },
      { name: "IDENTITY", of: (row) => row.id },
    ],
  });
}

function followedServiceTable(db: Database): WritableTable<FollowedService> {
  return db.table<FollowedService>({
    name: "services",
    key: (row) => row.key,
    equal: (a, b) => a.resourceVersion === b.resourceVersion,
    columns: [
      { name: "NAME", of: (row) => row.key },
      { name: "LOAD-BALANCER", of: (row) => row.lb !== undefined },
    ],
  });
}

function watchedServiceTable(db: Database): WritableTable<WatchedService> {
  return db.table<WatchedService>({
    name: "watched-services",
    key: serviceKey,
    indexes: { address: addressesOf },
    equal: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    columns: [
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "NAME", of: (row) => row.name },
      { name: "SAID", of: (row) => row.said ?? "" },
    ],
  });
}

function sliceTable(db: Database): WritableTable<Slice> {
  return db.table<Slice>({
    name: "slices",
    key: (row) => row.name,
    indexes: { namespace: (row) => [row.namespace] },
    equal: (a, b) => a.uid === b.uid && a.resourceVersion === b.resourceVersion,
    columns: [
      { name: "NAME", of: (row) => row.name },
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "ENDPOINTS", of: (row) => row.endpoints.length },
    ],
  });
}

function lbPoolTable(db: Database): WritableTable<LbPool> {
  return db.table<LbPool>({
    name: "lb-pools",
    key: (row) => row.name,
    equal: (a, b) => a.uid === b.uid && a.resourceVersion === b.resourceVersion,
    columns: [
      { name: "NAME", of: (row) => row.name },
      { name: "DISABLED", of: (row) => row.disabled },
      { name: "RANGES", of: (row) => row.ranges.map(({ text }) => text).join(",") },
      { name: "PROBLEM", of: (row) => row.problem ?? "" },
    ],
  });
}

function lbServiceTable(db: Database): WritableTable<LbService> {
  return db.table<LbService>({
    name: "lb-services",
    key: lbServiceKey,
    equal: (a, b) => a.uid === b.uid && a.resourceVersion === b.resourceVersion,
    columns: [
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "NAME", of: (row) => row.name },
      { name: "REQUESTED", of: (row) => row.requested.join(",") },
      { name: "SHARING-KEY", of: (row) => row.sharingKey },
      { name: "ADDRESSES", of: (row) => row.held.join(",") },
    ],
  });
}

function l2PolicyTable(db: Database): WritableTable<WrittenL2Policy> {
  return db.table<WrittenL2Policy>({
    name: "l2-policies",
    key: (row) => row.policy.name,
    equal: (a, b) => a.policy.uid === b.policy.uid && a.resourceVersion === b.resourceVersion,
    columns: [
      { name: "NAME", of: (row) => row.policy.name },
      { name: "PROBLEM", of: (row) => row.policy.problem ?? "" },
    ],
  });
}

interface NodeObject extends KubeObject {
  readonly status?: { readonly addresses?: readonly { readonly type: string; readonly address: string }[] };
}

export function kubeNodeRow({ metadata, status }: NodeObject): KubeNode {
  const addresses = status?.addresses?.filter(({ type }) => type === "InternalIP") ?? [];
  return { name: metadata?.name ?? "", addresses: addresses.map(({ address }) => address) };
}

/** Says since when nobody uses an identity; Kubernetes' time format. */
export const unusedSinceAnnotation = "weft.io/unused-since";

export interface IdentityObject extends KubeObject {
  readonly metadata: {
    readonly name: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

/** @throws WeftError E_IDENTITY when the name is no number of the cluster's range */
export function usedIdentityRow({ metadata }: IdentityObject): UsedIdentity {
  const id = Number(metadata.name);
  if (!Number.isInteger(id) || id < clusterIdentityRange.first || id > clusterIdentityRange.last)
    throw new WeftError(
      "E_IDENTITY",
      `CiliumIdentity "${metadata.name}" is not named by a cluster identity's number`,
    );
  const unusedSinceMs = Date.parse(metadata.annotations?.[unusedSinceAnnotation] ?? "");
  return {
    id,
    uid: metadata.uid ?? "",
    resourceVersion: metadata.resourceVersion ?? "",
    ...(!Number.isNaN(unusedSinceMs) && { unusedSinceMs }),
  };
}
