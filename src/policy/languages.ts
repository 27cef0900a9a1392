// SPDX-License-Identifier: Apache-2.0
import { type LabelFilter, usualLabels } from "#identities/label-filter.ts";
import { type KubeObject, type Resource, resources } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import { auditedRules } from "./audit.ts";
import { ciliumRemarks } from "./cilium-remarks.ts";
import { conditionText, type PolicyCondition } from "./condition.ts";
import { compileCiliumPolicy } from "./from-cilium.ts";
import { compileClusterNetworkPolicy } from "./from-cluster-network-policy.ts";
import { compileNetworkPolicy } from "./from-network-policy.ts";
import { policyKey } from "./policy-key.ts";
import { checkSelectable, NeedsError } from "./refuse.ts";
import type { Rule } from "./rule.ts";
import { sourceAnnotation, withSourceLines } from "./source-lines.ts";
import type { PolicyRow } from "./table.ts";

/** One kind of objects that hold policies. */
export interface PolicyLanguage {
  readonly resource: Resource;
  readonly apiVersion: string;
  readonly kind: string;
  /** @throws WeftError E_MANIFEST, E_POLICY_UNSUPPORTED: the object as a whole is refused */
  readonly compile: (object: unknown) => Rule[];
  /** What of a right object means something else than one is likely to think. */
  readonly remarks?: (object: unknown) => string[];
  readonly namespaced: boolean;
  /** Objects have a status with conditions. */
  readonly conditions: boolean;
}

/** Everything that compiles to rules. Pure, like all it imports: the agents and the tools that work on files run the same. */
export const policyLanguages: readonly PolicyLanguage[] = [
  {
    resource: resources.networkPolicies,
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    compile: compileNetworkPolicy,
    namespaced: true,
    conditions: false,
  },
  {
    resource: resources.clusterNetworkPolicies,
    apiVersion: "policy.networking.k8s.io/v1alpha2",
    kind: "ClusterNetworkPolicy",
    compile: compileClusterNetworkPolicy,
    namespaced: false,
    conditions: true,
  },
  {
    resource: resources.ciliumNetworkPolicies,
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    compile: compileCiliumPolicy,
    remarks: ciliumRemarks,
    namespaced: true,
    conditions: true,
  },
  {
    resource: resources.ciliumClusterwideNetworkPolicies,
    apiVersion: "cilium.io/v2",
    kind: "CiliumClusterwideNetworkPolicy",
    compile: compileCiliumPolicy,
    remarks: ciliumRemarks,
    namespaced: false,
    conditions: true,
  },
];

/** The language of an object; undefined: it is no policy. */
export function languageOf(object: {
  readonly apiVersion?: string;
  readonly kind?: string;
}): PolicyLanguage | undefined {
  return policyLanguages.find(
    ({ apiVersion, kind }) => apiVersion === object.apiVersion && kind === object.kind,
  );
}

interface Metadata {
  readonly name?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly generation?: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Status {
  readonly conditions?: readonly Partial<PolicyCondition>[];
}

/** The row of an object; a refused one says why and has no rules. Items of a list carry neither kind nor apiVersion. */
export function compileRow(
  language: PolicyLanguage,
  object: KubeObject,
  keepsLabel: LabelFilter = usualLabels,
): PolicyRow {
  const { kind, apiVersion } = language;
  const metadata = (object.metadata ?? {}) as Metadata;
  const { name = "", namespace = "", uid = "", generation = 0 } = metadata;
  const { conditions = [] } = (object as { readonly status?: Status }).status ?? {};
  const valid = conditions.find(({ type }) => type === "Valid");
  const row = { kind, namespace, name, uid, generation, ...(valid && { reported: conditionText(valid) }) };
  try {
    const typed = { ...object, apiVersion, kind };
    const rules = language.compile(typed);
    checkSelectable(rules, policyKey(row), keepsLabel);
    const located = withSourceLines(rules, metadata.annotations?.[sourceAnnotation]);
    const warnings = language.remarks?.(typed) ?? [];
    const audited = auditedRules(located, metadata.annotations);
    return { ...row, rules: audited, ...(warnings.length > 0 && { warnings }) };
  } catch (thrown) {
    const code = thrown instanceof WeftError ? thrown.code : "E_INTERNAL";
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    const needs = thrown instanceof NeedsError ? [...new Set(thrown.needs.map(({ kind }) => kind))] : [];
    return { ...row, rules: [], refused: { code, message }, ...(needs.length > 0 && { needs }) };
  }
}
