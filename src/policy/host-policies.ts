// SPDX-License-Identifier: Apache-2.0

import { policyKey } from "./policy-key.ts";
import { isAboutHost } from "./selector.ts";
import type { PolicyRow } from "./table.ts";

/** A policy about nodes where the host firewall is off: never ignored without a word. */
export function withoutHosts(row: PolicyRow): PolicyRow {
  if (!row.rules.some(({ subject }) => isAboutHost(subject))) return row;
  const message = `${policyKey(row)}: nodeSelector: the host firewall is off (setting hostFirewall.enabled)`;
  return { ...row, rules: [], refused: { code: "E_POLICY_UNSUPPORTED", message } };
}
