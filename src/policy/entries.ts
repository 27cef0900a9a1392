// SPDX-License-Identifier: Apache-2.0
import { PolicyBits, PolicyDirection, PolicyRound, PolicyVerdict } from "#datapath/layouts/enums.ts";
import type { PolicyEntry as EntryValue } from "#datapath/layouts/policy-entry.ts";
import type { PolicyKey } from "#datapath/layouts/policy-key.ts";
import type { PolicyEntry } from "./rule.ts";

/** One element of a policy's LPM map (`bpf/lib/policy.h`). */
export interface PolicyElement {
  readonly key: PolicyKey;
  readonly value: EntryValue;
}

export function elementOf(entry: PolicyEntry): PolicyElement {
  const { identity, proto, portBits, port, precedence, rule } = entry;
  const anyProto = proto === 0;
  return {
    key: {
      prefixlen: anyProto ? PolicyBits.fixed : PolicyBits.proto + portBits,
      identity,
      direction: PolicyDirection[entry.direction] | roundBits(entry),
      proto,
      port: anyProto ? 0 : port,
    },
    value: { precedence, rule, proxyPort: 0, verdict: PolicyVerdict[entry.verdict], auth: 0 },
  };
}

function roundBits({ round, audit }: PolicyEntry): number {
  return (round === 2 ? PolicyRound.second : 0) | (audit ? PolicyRound.audit : 0);
}

/** The inverse of {@link elementOf}: for `weft bpf policy list`. */
export function entryOf({ key, value }: PolicyElement): PolicyEntry {
  const second = (key.direction & PolicyRound.second) !== 0;
  const audit = (key.direction & PolicyRound.audit) !== 0;
  const direction = key.direction & ~(PolicyRound.second | PolicyRound.audit);
  return {
    direction: direction === PolicyDirection.ingress ? "ingress" : "egress",
    identity: key.identity,
    proto: key.proto,
    portBits: Math.max(0, key.prefixlen - PolicyBits.proto),
    port: key.port,
    verdict: verdictOf(value.verdict),
    ...(second && { round: 2 as const }),
    ...(audit && { audit: true as const }),
    precedence: value.precedence,
    rule: value.rule,
  };
}

function verdictOf(number: number): PolicyEntry["verdict"] {
  if (number === PolicyVerdict.allow) return "allow";
  return number === PolicyVerdict.pass ? "pass" : "deny";
}
