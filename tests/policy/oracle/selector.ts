// SPDX-License-Identifier: Apache-2.0
import type { Bag, Strings } from "./cluster.ts";

interface Expression {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

function expressions(selector: Bag): Expression[] {
  const labels = (selector.matchLabels ?? {}) as Strings;
  const equal = Object.entries(labels).map(([key, value]) => ({ key, operator: "In", values: [value] }));
  return [...equal, ...((selector.matchExpressions ?? []) as readonly Expression[])];
}

/** Keys a selector speaks of. */
export function keysOf(selector: Bag): string[] {
  return expressions(selector).map(({ key }) => key);
}

/** A Kubernetes label selector: every requirement holds; none at all selects everything. NotIn holds for who lacks the label. */
export function selects(selector: Bag, labels: Strings): boolean {
  return selectsBy(selector, (key) => (key in labels ? [labels[key]!] : []));
}

/** As {@link selects}, with keys that may stand for several labels. */
export function selectsBy(selector: Bag, valuesOf: (key: string) => readonly string[]): boolean {
  return expressions(selector).every(({ key, operator, values = [] }) => {
    const found = valuesOf(key);
    if (operator === "Exists") return found.length > 0;
    if (operator === "DoesNotExist") return found.length === 0;
    const among = found.some((value) => values.includes(value));
    return operator === "In" ? among : !among;
  });
}
