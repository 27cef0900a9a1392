// SPDX-License-Identifier: Apache-2.0
import type { NodePolicy } from "#api/crd/node-policy-status.ts";
import { type KubeObject, type Resource, resources } from "#k8s/resource.ts";
import { conditionText, type PolicyCondition } from "#policy/condition.ts";
import type { NodePolicyStatusObject } from "#policy/node-status.ts";
import { policyKey } from "#policy/policy-key.ts";
import type { Database, WritableTable } from "#store/table.ts";
import { enforcedType } from "./policy-condition.ts";

/** A policy object, as far as its status needs it. */
export interface PolicyObject {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Status of the condition `Valid`, if it has one. */
  readonly valid?: string;
  /** What its status says of the cluster as a whole. */
  readonly told?: PolicyCondition & { readonly lastTransitionTime?: string };
}

/** What a node says of the policies on it. */
export interface NodeWords {
  readonly node: string;
  /** By the policy's key. */
  readonly policies: ReadonlyMap<string, NodePolicy>;
}

/** Kinds of policies whose objects have a status with conditions. */
export const kindsWithStatus: Readonly<Record<string, Resource>> = {
  CiliumNetworkPolicy: resources.ciliumNetworkPolicies,
  CiliumClusterwideNetworkPolicy: resources.ciliumClusterwideNetworkPolicies,
  ClusterNetworkPolicy: resources.clusterNetworkPolicies,
};

interface WithConditions extends KubeObject {
  readonly status?: {
    readonly conditions?: readonly (PolicyCondition & { readonly lastTransitionTime?: string })[];
  };
}

/** Items of a list do not carry their kind. */
export function policyObjectRow(kind: string, { metadata, status }: WithConditions): PolicyObject {
  const { name = "", namespace = "" } = metadata ?? {};
  const find = (wanted: string) => status?.conditions?.find(({ type }) => type === wanted);
  const [valid, told] = [find("Valid")?.status, find(enforcedType)];
  return { kind, namespace, name, ...(valid !== undefined && { valid }), ...(told && { told }) };
}

export function nodeWordsRow({ metadata, policies = [] }: NodePolicyStatusObject): NodeWords {
  return { node: metadata?.name ?? "", policies: new Map(policies.map((said) => [said.policy, said])) };
}

export function policyObjectTable(db: Database): WritableTable<PolicyObject> {
  return db.table<PolicyObject>({
    name: "policy-objects",
    key: policyKey,
    equal: (a, b) => a.valid === b.valid && textOf(a) === textOf(b),
    columns: [
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "NAME", of: (row) => row.name },
      { name: "KIND", of: (row) => row.kind },
      { name: "ENFORCED", of: (row) => row.told?.status },
    ],
  });
}

function textOf({ told }: PolicyObject): string {
  return told ? conditionText(told) : "";
}

/** Index `policy`: nodes that speak of it. */
export function nodeWordsTable(db: Database): WritableTable<NodeWords> {
  return db.table<NodeWords>({
    name: "node-policies",
    key: (row) => row.node,
    indexes: { policy: (row) => row.policies.keys() },
    columns: [
      { name: "NODE", of: (row) => row.node },
      { name: "POLICIES", of: (row) => row.policies.size },
    ],
  });
}
