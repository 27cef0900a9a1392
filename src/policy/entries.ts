// SPDX-License-Identifier: Apache-2.0
import {
  EndpointFlag,
  PolicyBits,
  PolicyDirection,
  PolicyRound,
  PolicyVerdict,
} from "#datapath/layouts/enums.ts";
import type { PolicyEntry as EntryValue } from "#datapath/layouts/policy-entry.ts";
import type { PolicyKey } from "#datapath/layouts/policy-key.ts";
import type { PolicyEntry, ResolvedPolicy } from "./rule.ts";

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

/** What a policy's map says of the policy itself. */
export type PolicySelf = Pick<ResolvedPolicy, "revision" | "enforceIngress" | "enforceEgress" | "audits">;

/** The element that says it. Revision 0: the entries are being written. */
export function selfElementOf({
  revision,
  enforceIngress,
  enforceEgress,
  audits,
}: PolicySelf): PolicyElement {
  const flags =
    (enforceIngress ? EndpointFlag.enforceIngress : 0) |
    (enforceEgress ? EndpointFlag.enforceEgress : 0) |
    (audits ? EndpointFlag.audited : 0);
  const key = { prefixlen: PolicyBits.port, identity: 0, direction: PolicyRound.self, proto: 0, port: 0 };
  return { key, value: { precedence: flags, rule: revision, proxyPort: 0, verdict: 0, auth: 0 } };
}

export function isSelfElement({ key }: PolicyElement): boolean {
  return key.direction === PolicyRound.self;
}

/** The inverse of {@link selfElementOf}. */
export function selfOf({ value }: PolicyElement): PolicySelf {
  const has = (flag: number) => (value.precedence & flag) !== 0;
  return {
    revision: value.rule,
    enforceIngress: has(EndpointFlag.enforceIngress),
    enforceEgress: has(EndpointFlag.enforceEgress),
    ...(has(EndpointFlag.audited) && { audits: true as const }),
  };
}
