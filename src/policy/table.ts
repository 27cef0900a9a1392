// SPDX-License-Identifier: Apache-2.0
import type { Prefix } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";
import type { Database, WritableTable } from "#store/table.ts";
import type { PolicyCost } from "./costs.ts";
import type { Refusal } from "./limits.ts";
import { type PolicyName, policyKey } from "./policy-key.ts";
import type { NamedPort, NeedKind, ResolvedPolicy, Rule, RuleOrigin } from "./rule.ts";

/** Intent: one policy object, compiled as a whole or refused as a whole. */
export interface PolicyRow extends PolicyName {
  readonly uid: string;
  readonly generation: number;
  /** None when refused, but for {@link inForce}. */
  readonly rules: readonly Rule[];
  /** Why the policy is not in force. */
  readonly refused?: { readonly code: string; readonly message: string };
  /** Of a refused one: the earlier generation whose rules stay in force. */
  readonly inForce?: number;
  /** What it would need beside the datapath to be in force; absent: nothing. */
  readonly needs?: readonly NeedKind[];
  /** What of it selects nobody for now, and why; what means something else than one is likely to think. */
  readonly warnings?: readonly string[];
  /** What the object's status says of it by now: see `status.ts`. */
  readonly reported?: string;
}

/**
 * Policies of the cluster, as this node understands them. Key: {@link policyKey}. `written-policies`: as their objects say it, with references to
 * others; `policies`: with peers in their place.
 */
export function policyTable(
  db: Database,
  name: "policies" | "written-policies" = "policies",
): WritableTable<PolicyRow> {
  return db.table<PolicyRow>({
    name,
    key: policyKey,
    columns: [
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "NAME", of: (row) => row.name },
      { name: "KIND", of: (row) => row.kind },
      { name: "RULES", of: (row) => row.rules.length },
      { name: "STATUS", of: statusOf },
      { name: "REASON", of: (row) => row.refused?.message ?? row.warnings?.join("; ") ?? "" },
      { name: "UID", of: (row) => row.uid, wide: true },
      { name: "GENERATION", of: (row) => row.generation, wide: true },
    ],
  });
}

function statusOf({ refused, rules, inForce }: PolicyRow): string {
  if (refused) return inForce === undefined ? "refused" : `refused, generation ${inForce} in force`;
  return rules.some(({ audit }) => audit) ? "audit" : "in force";
}

/** Policies that this node has no room for, as they were last written. Key: the policy's. */
export function policyRefusalTable(db: Database): WritableTable<Refusal> {
  return db.table<Refusal>({
    name: "policy-refusals",
    key: (row) => row.policy,
    equal: (a, b) => a.message === b.message,
    columns: [
      { name: "POLICY", of: (row) => row.policy },
      { name: "WOULD TAKE", of: (row) => row.count },
      { name: "ROOM", of: (row) => row.limit },
      { name: "REASON", of: (row) => row.message, wide: true },
    ],
  });
}

/** What policies cost this node; those that take part in no map cost nothing and are not here. Key: the policy's. */
export function policyCostTable(db: Database): WritableTable<PolicyCost> {
  return db.table<PolicyCost>({
    name: "policy-costs",
    key: (row) => row.policy,
    equal: (a, b) => a.entries === b.entries && a.maps === b.maps,
    columns: [
      { name: "POLICY", of: (row) => row.policy },
      { name: "ENTRIES", of: (row) => row.entries },
      { name: "MAPS", of: (row) => row.maps },
    ],
  });
}

/** Desired: the content of each policy map. Key: the id. */
export function policyMapTable(db: Database): WritableTable<ResolvedPolicy> {
  return db.table<ResolvedPolicy>({
    name: "policy-maps",
    key: (row) => String(row.id),
    equal: (a, b) => a.revision === b.revision && a.entries.length === b.entries.length,
    columns: [
      { name: "ID", of: (row) => row.id },
      { name: "REVISION", of: (row) => row.revision },
      { name: "INGRESS", of: (row) => (row.enforceIngress ? "enforced" : "open") },
      { name: "EGRESS", of: (row) => (row.enforceEgress ? "enforced" : "open") },
      { name: "ENTRIES", of: (row) => row.entries.length },
    ],
  });
}

/** Desired: which policy an endpoint has. Policy id 0: nothing selects it. */
export interface EndpointPolicyRow {
  readonly endpointId: number;
  readonly policyId: number;
  readonly revision: number;
  readonly enforceIngress: boolean;
  readonly enforceEgress: boolean;
  /** Some of what its policies deny is told and not enforced. */
  readonly audits?: true;
  /** Policy objects that select it: {@link policyKey}. */
  readonly policies: readonly string[];
}

/** Key: the endpoint's id, so that rows join with `endpoints`. */
export function endpointPolicyTable(db: Database): WritableTable<EndpointPolicyRow> {
  return db.table<EndpointPolicyRow>({
    name: "endpoint-policies",
    key: (row) => String(row.endpointId),
    indexes: { policy: (row) => [String(row.policyId)] },
    equal: sameEndpointPolicy,
    columns: [
      { name: "ENDPOINT", of: (row) => row.endpointId },
      { name: "POLICY", of: (row) => row.policyId },
      { name: "REVISION", of: (row) => row.revision },
      { name: "INGRESS", of: (row) => (row.enforceIngress ? "enforced" : "open") },
      { name: "EGRESS", of: (row) => (row.enforceEgress ? "enforced" : "open") },
      { name: "SELECTED BY", of: (row) => row.policies.join(", ") },
    ],
  });
}

function sameEndpointPolicy(a: EndpointPolicyRow, b: EndpointPolicyRow): boolean {
  if (a.policyId !== b.policyId || a.revision !== b.revision) return false;
  if (a.audits !== b.audits || a.enforceIngress !== b.enforceIngress || a.enforceEgress !== b.enforceEgress)
    return false;
  return a.policies.join() === b.policies.join();
}

/** What the number in a map entry or a flow event stands for. */
export interface PolicyRuleRow {
  readonly id: number;
  readonly origins: readonly RuleOrigin[];
}

/** Key: the number. */
export function policyRuleTable(db: Database): WritableTable<PolicyRuleRow> {
  return db.table<PolicyRuleRow>({
    name: "policy-rules",
    key: (row) => String(row.id),
    equal: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    columns: [
      { name: "ID", of: (row) => row.id },
      { name: "RULES", of: (row) => row.origins.map(originLabel).join(", ") },
    ],
  });
}

function originLabel(origin: RuleOrigin): string {
  return origin.field === undefined ? policyKey(origin) : `${policyKey(origin)} ${origin.field}`;
}

/** What the engine needs of an endpoint of this node. */
export interface PolicyEndpoint {
  readonly id: number;
  readonly labels: Labels;
  readonly namedPorts: readonly NamedPort[];
}

/** What the engine needs of a pod anywhere in the cluster: named ports in egress rules are the destination's. */
export interface PolicyPeerPod {
  readonly identity: number;
  readonly namedPorts: readonly NamedPort[];
}

/** A list of prefixes under a name: CiliumCIDRGroup. */
export interface CidrGroup {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Canonical, each once. */
  readonly prefixes: readonly Prefix[];
}

/** Key: the name. */
export function cidrGroupTable(db: Database): WritableTable<CidrGroup> {
  return db.table<CidrGroup>({
    name: "cidr-groups",
    key: (row) => row.name,
    equal: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    columns: [
      { name: "NAME", of: (row) => row.name },
      { name: "PREFIXES", of: (row) => row.prefixes.join(",") },
    ],
  });
}
