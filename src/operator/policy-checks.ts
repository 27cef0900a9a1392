// SPDX-License-Identifier: Apache-2.0
import { readLocalRedirectPolicy } from "#api/crd/cilium-local-redirect-policy.ts";
import { gatewaysOf, isWell } from "#egress/gateways.ts";
import { type EgressPolicy, egressPolicyRow } from "#egress/policy.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { errorText } from "#lib/errors.ts";
import type { Node } from "#nodes/node.ts";
import type { Database, WritableTable } from "#store/table.ts";
import type { Condition, WantedCondition } from "./conditions.ts";

/** A policy that agents alone go by, and what is said of it. */
export interface CheckedPolicy {
  readonly kind: CheckedKind;
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly resourceVersion: string;
  readonly conditions: readonly Condition[];
  /** Why agents do not go by it. */
  readonly problem?: string;
  /** Of an egress policy that can be read. */
  readonly egress?: EgressPolicy;
}

export type CheckedKind = keyof typeof checkedKinds;

export const checkedKinds = {
  CiliumEgressGatewayPolicy: resources.ciliumEgressGatewayPolicies,
  CiliumLocalRedirectPolicy: resources.ciliumLocalRedirectPolicies,
} as const;

export interface CheckedObject extends KubeObject {
  readonly metadata: {
    readonly namespace?: string;
    readonly name: string;
    readonly uid?: string;
    readonly generation?: number;
    readonly resourceVersion?: string;
  };
  readonly status?: { readonly conditions?: readonly Condition[] };
}

export function checkedEgressPolicy(object: CheckedObject): CheckedPolicy {
  return checked("CiliumEgressGatewayPolicy", object, () => ({ egress: egressPolicyRow(object) }));
}

export function checkedRedirectPolicy(object: CheckedObject): CheckedPolicy {
  const kind = { apiVersion: "cilium.io/v2", kind: "CiliumLocalRedirectPolicy" };
  return checked("CiliumLocalRedirectPolicy", object, () => {
    readLocalRedirectPolicy({ ...object, ...kind });
    return {};
  });
}

function checked(
  kind: CheckedKind,
  { metadata, status }: CheckedObject,
  read: () => Pick<CheckedPolicy, "egress">,
): CheckedPolicy {
  const { namespace, name, uid = "", generation = 1, resourceVersion = "" } = metadata;
  const conditions = status?.conditions ?? [];
  const row = { kind, ...(namespace && { namespace }), name, uid, generation, resourceVersion, conditions };
  try {
    return { ...row, ...read() };
  } catch (thrown) {
    return { ...row, problem: errorText(thrown) };
  }
}

/** Key: kind, namespace and name. */
export function checkedPolicyTable(db: Database): WritableTable<CheckedPolicy> {
  return db.table<CheckedPolicy>({
    name: "checked-policies",
    key: ({ kind, namespace = "", name }) => `${kind} ${namespace}/${name}`,
    equal: (a, b) => a.uid === b.uid && a.resourceVersion === b.resourceVersion,
    columns: [
      { name: "KIND", of: (row) => row.kind },
      { name: "NAME", of: (row) => row.name },
      { name: "PROBLEM", of: (row) => row.problem ?? "" },
    ],
  });
}

/** What its status should say: whether agents go by it, and of an egress policy which nodes are its gateways. Pure. */
export function checksOf(row: CheckedPolicy, nodes: readonly Node[]): WantedCondition[] {
  const { problem, egress, generation } = row;
  const said = (
    type: string,
    status: "True" | "False",
    [reason, message]: readonly [reason: string, message: string],
  ): WantedCondition => ({ type, status, observedGeneration: generation, reason, message });
  if (problem !== undefined) return [said("Valid", "False", ["Malformed", problem])];
  const valid = said("Valid", "True", ["InForce", "Policy is in force"]);
  if (!egress) return [valid];
  const found = gatewaysOf(egress, nodes);
  const names = (of: typeof found) => [...new Set(of.map(({ node }) => node.name))].sort().join(", ");
  const sick = found.filter(({ node }) => !isWell(node));
  if (found.length === 0) {
    const message = "no node fits: what its pods send to its destinations is dropped";
    return [valid, said(gateways, "False", ["NoNode", message])];
  }
  if (sick.length > 0) {
    const message = `${names(sick)}: not ready, and no other node fits`;
    return [valid, said(gateways, "False", ["NotReady", message])];
  }
  return [valid, said(gateways, "True", ["Found", names(found)])];
}

const gateways = "weft.io/Gateways";
