// SPDX-License-Identifier: Apache-2.0
import type { Rule } from "./rule.ts";

/** On a policy object: what it denies is told and not enforced. On a pod: so is what any policy denies it. */
export const auditAnnotation = "weft.io/policy-audit";

type Annotations = Readonly<Record<string, string>> | undefined;

/** Whether an object's annotations switch something on. Kubernetes has text only; the forms are those of Go's ParseBool. */
export function isSwitchedOn(annotations: Annotations, name: string): boolean {
  return ["1", "t", "T", "true", "True", "TRUE"].includes(annotations?.[name] ?? "");
}

/** The rules of an object as its annotations have them: in audit, or as they are. */
export function auditedRules(rules: readonly Rule[], annotations: Annotations): readonly Rule[] {
  return isSwitchedOn(annotations, auditAnnotation) ? rules.map((rule) => ({ ...rule, audit: true })) : rules;
}
