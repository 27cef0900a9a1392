// SPDX-License-Identifier: Apache-2.0
import { usualLabels } from "#identities/label-filter.ts";
import { WeftError } from "#lib/errors.ts";
import type { Need, NeedKind, Rule, Selector } from "./rule.ts";
import { unselectableKey } from "./selector.ts";

/** A policy that can't be enforced as it is written: it is not in force at all. */
export function unsupported(object: string, field: string, why: string): WeftError {
  return new WeftError("E_POLICY_UNSUPPORTED", `${object}: ${field}: ${why}`, {
    hint: "the policy as a whole is not in force; take the field out to enforce the rest",
  });
}

const needed: Readonly<Record<NeedKind, string>> = {
  proxy: "a proxy that reads requests",
  dns: "a proxy that reads DNS answers",
  tls: "a proxy that reads TLS",
  auth: "mutual authentication",
};

/** A policy that is right but asks for more than the datapath: not in force as long as nobody gives it that. */
export class NeedsError extends WeftError {
  readonly needs: readonly Need[];

  constructor(object: string, needs: readonly Need[]) {
    const [first, ...more] = needs;
    const others = [...new Set(more.map(({ field }) => field))].slice(0, 5);
    const also = others.length === 0 ? "" : ` (as do ${others.join(", ")})`;
    super(
      "E_POLICY_UNSUPPORTED",
      `${object}: ${first!.field}: needs ${needed[first!.kind]}, which this version does not have${also}`,
      { hint: "the policy as a whole is not in force; take the field out to enforce the rest" },
    );
    this.needs = needs;
  }
}

/**
 * Refuses selectors of labels that identities do not carry: such a policy would silently select nothing.
 * @param object its name, for the message
 * @throws WeftError E_POLICY_UNSUPPORTED
 */
export function checkSelectable(rules: readonly Rule[], object: string, keeps = usualLabels): void {
  const check = (selector: Selector, field: string) => {
    const key = unselectableKey(selector, keeps);
    if (key !== undefined) throw unsupported(object, field, reasonOf(key));
  };
  const reasonOf = (key: string) =>
    usualLabels(key)
      ? `label ${key} is kept out of identities by the agents' settings (identityLabels) and can't be selected by`
      : `label ${key} differs from pod to pod and can't be selected by`;
  for (const { subject, peers, origin } of rules) {
    const field = origin.field ?? "spec";
    check(subject, field.replace(/\..*/, ""));
    for (const peer of peers ?? []) if (peer.kind === "selector") check(peer.selector, field);
  }
}
