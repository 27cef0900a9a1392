// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import { type Prefix, parsePrefix } from "#model/ip.ts";
import type { Database, WritableTable } from "#store/table.ts";

/** cilium.io/v2 CiliumNode, the fields that agents and operator exchange. */
export interface CiliumNodeObject extends KubeObject {
  readonly metadata: {
    readonly name: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly creationTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly OwnerReference[];
  };
  readonly spec: CiliumNodeSpec;
  readonly status?: {
    readonly ipam?: {
      readonly "operator-status"?: { readonly error?: string };
      readonly "pod-cidrs"?: Readonly<Record<string, { readonly status?: string }>>;
    };
  };
}

export interface CiliumNodeSpec {
  readonly bootid?: string;
  readonly addresses?: readonly { readonly type: string; readonly ip: string }[];
  readonly ipam?: { readonly podCIDRs?: readonly string[] };
}

interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

/** A CiliumNode as it stands in the API server. */
export interface CiliumNode {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Milliseconds since the epoch. */
  readonly createdMs: number;
  readonly podCidrs: readonly Prefix[];
  /** Why the operator could not give it what it needs; "": it could. */
  readonly operatorError: string;
  /** How full each pod CIDR is, as its agent last said. */
  readonly podCidrStatus: Readonly<Record<string, { readonly status?: string }>>;
  /** uid of the Node that owns it; "": none. */
  readonly ownerUid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: CiliumNodeSpec;
}

/** @throws WeftError E_NODE for a pod CIDR that is none */
export function ciliumNodeRow({ metadata, spec, status }: CiliumNodeObject): CiliumNode {
  const { name, uid = "", resourceVersion = "", creationTimestamp = "", labels = {} } = metadata;
  return {
    name,
    uid,
    resourceVersion,
    createdMs: Date.parse(creationTimestamp) || 0,
    podCidrs: (spec?.ipam?.podCIDRs ?? []).map((text) => podCidr(name, text)),
    operatorError: status?.ipam?.["operator-status"]?.error ?? "",
    podCidrStatus: status?.ipam?.["pod-cidrs"] ?? {},
    ownerUid: metadata.ownerReferences?.find(({ kind }) => kind === "Node")?.uid ?? "",
    labels,
    spec: spec ?? {},
  };
}

function podCidr(node: string, text: string): Prefix {
  try {
    return parsePrefix(text);
  } catch (cause) {
    throw new WeftError("E_NODE", `CiliumNode ${node}: spec.ipam.podCIDRs`, { cause });
  }
}

/** CiliumNodes; an agent that needs no other has just its own. Key: the name. */
export function ciliumNodeTable(db: Database): WritableTable<CiliumNode> {
  return db.table<CiliumNode>({
    name: "cilium-nodes",
    key: (row) => row.name,
    equal: (a, b) => a.uid === b.uid && a.resourceVersion === b.resourceVersion,
    columns: [
      { name: "NAME", of: (row) => row.name },
      { name: "POD-CIDRS", of: (row) => row.podCidrs.join(",") },
      { name: "ERROR", of: (row) => row.operatorError },
    ],
  });
}
