// SPDX-License-Identifier: Apache-2.0
import { type Annotations, auditAnnotation, isSwitchedOn } from "#model/annotations.ts";
import type { Rule } from "./rule.ts";

/**
 * The rules of an object as its annotations have them: in audit, or as they are. What would be denied with them and is not without their
 * denials and their isolation goes through, and is told as an AUDIT flow that names them.
 */
export function auditedRules(rules: readonly Rule[], annotations: Annotations): readonly Rule[] {
  return isSwitchedOn(annotations, auditAnnotation) ? rules.map((rule) => ({ ...rule, audit: true })) : rules;
}
