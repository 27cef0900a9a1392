// SPDX-License-Identifier: Apache-2.0
import { type LabelFilter, usualLabels } from "#identities/label-filter.ts";
import type { KubeClient } from "#k8s/client.ts";
import { reflect } from "#k8s/reflect.ts";
import { type KubeObject, type Resource, resources } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Database, WritableTable } from "#store/table.ts";
import { compileCiliumPolicy } from "./from-cilium.ts";
import { compileNetworkPolicy } from "./from-network-policy.ts";
import { checkSelectable } from "./refuse.ts";
import type { Rule } from "./rule.ts";
import { conditionText, startPolicyStatus, type ValidCondition } from "./status.ts";
import { type PolicyRow, policyKey } from "./table.ts";

export interface PolicySourceDeps {
  readonly client: KubeClient;
  readonly db: Database;
  readonly policies: WritableTable<PolicyRow>;
  /** Labels that identities carry. */
  readonly keepsLabel?: LabelFilter;
  readonly health: Health;
  readonly log: Logger;
}

interface Language {
  readonly resource: Resource;
  readonly apiVersion: string;
  readonly kind: string;
  readonly compile: (object: unknown) => Rule[];
  /** Objects have a status with conditions. */
  readonly conditions: boolean;
}

export const policyLanguages: readonly Language[] = [
  {
    resource: resources.networkPolicies,
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    compile: compileNetworkPolicy,
    conditions: false,
  },
  {
    resource: resources.ciliumNetworkPolicies,
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    compile: compileCiliumPolicy,
    conditions: true,
  },
  {
    resource: resources.ciliumClusterwideNetworkPolicies,
    apiVersion: "cilium.io/v2",
    kind: "CiliumClusterwideNetworkPolicy",
    compile: compileCiliumPolicy,
    conditions: true,
  },
];

/** Follows the objects of every policy language. A refused one is a row that says why, and has no rules. */
export function startPolicySource(deps: PolicySourceDeps, signal: AbortSignal): AsyncDisposable {
  const { client, db, policies, health, log, keepsLabel } = deps;
  const stack = new AsyncDisposableStack();
  for (const language of policyLanguages) {
    const toRow = (object: KubeObject) => policyRow(language, object, log, keepsLabel);
    const { resource } = language;
    stack.use(
      reflect<KubeObject, PolicyRow>({ client, db, health, log, signal, resource, table: policies, toRow }),
    );
  }
  const resourceOf = (kind: string) =>
    policyLanguages.find((language) => language.kind === kind && language.conditions)?.resource;
  stack.use(startPolicyStatus({ client, policies, resourceOf, health, log }, signal));
  return stack;
}

interface Metadata {
  readonly name?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly generation?: number;
}

interface Status {
  readonly conditions?: readonly Partial<ValidCondition>[];
}

/** Items of a list carry neither kind nor apiVersion. */
export function policyRow(
  language: Language,
  object: KubeObject,
  log: Logger,
  keepsLabel: LabelFilter = usualLabels,
): PolicyRow {
  const { kind, apiVersion } = language;
  const { name = "", namespace = "", uid = "", generation = 0 } = (object.metadata ?? {}) as Metadata;
  const { conditions = [] } = (object as { readonly status?: Status }).status ?? {};
  const valid = conditions.find(({ type }) => type === "Valid");
  const row = { kind, namespace, name, uid, generation, ...(valid && { reported: conditionText(valid) }) };
  try {
    const rules = language.compile({ ...object, apiVersion, kind });
    checkSelectable(rules, policyKey(row), keepsLabel);
    return { ...row, rules };
  } catch (thrown) {
    const code = thrown instanceof WeftError ? thrown.code : "E_INTERNAL";
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    log.warn({ policy: policyKey(row), code, err: message }, "policy refused");
    return { ...row, rules: [], refused: { code, message } };
  }
}
