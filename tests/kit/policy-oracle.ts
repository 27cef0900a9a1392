// SPDX-License-Identifier: Apache-2.0
import type { Labels } from "#model/labels.ts";
import { peerMatches } from "#policy/peer.ts";
import type { NamedPort, PortRange, Rule, Tier } from "#policy/rule.ts";
import { matches } from "#policy/selector.ts";

export interface OracleQuestion {
  readonly direction: "ingress" | "egress";
  readonly subject: { readonly labels: Labels; readonly ports: readonly NamedPort[] };
  /** Labels undefined: an identity nobody knows. */
  readonly peer: { readonly labels: Labels | undefined; readonly ports: readonly NamedPort[] };
  /** Of the peer's address; undefined: in no prefix that blocks name. */
  readonly block?: Labels | undefined;
  readonly proto: number;
  readonly port: number;
}

export interface OracleAnswer {
  /** `audit`: denied, but not when policies in audit deny nothing. */
  readonly verdict: "allow" | "deny" | "audit";
  /** Rules that decided; empty: the default. */
  readonly rules: readonly Rule[];
}

/** What the rules mean, one question at a time and with no map in mind: what `resolve` must come to. */
export function judge(rules: readonly Rule[], question: OracleQuestion): OracleAnswer {
  const enforced = rules
    .filter(({ audit, action }) => !(audit && action === "deny"))
    .map((rule): Rule => (rule.audit ? { ...rule, defaultDeny: false } : rule));
  const left = judgeAll(enforced, question);
  const all = judgeAll(rules, question);
  return left.verdict === "allow" && all.verdict === "deny" ? { ...all, verdict: "audit" } : left;
}

function judgeAll(rules: readonly Rule[], question: OracleQuestion): OracleAnswer {
  const { direction, subject } = question;
  const mine = rules.filter((rule) => rule.direction === direction && matches(rule.subject, subject.labels));
  const isolated = mine.some((rule) => rule.defaultDeny);
  const implied = direction === "ingress" && mine.length > 0 ? [fromOwnNode] : [];
  const hits = [...mine, ...implied].filter((rule) => peerHit(rule, question) && portHit(rule, question));
  // Who is isolated is judged by what isolates it: the baseline is for the others.
  const tiers: Tier[] = isolated ? ["admin", "normal"] : ["admin", "normal", "baseline"];
  for (const tier of tiers) {
    const inTier = hits.filter((rule) => rule.tier === tier);
    const first = Math.min(...inTier.map((rule) => rule.priority));
    const front = inTier.filter((rule) => rule.priority === first);
    const deniers = front.filter((rule) => rule.action === "deny");
    if (deniers.length > 0) return { verdict: "deny", rules: deniers };
    if (front.some((rule) => rule.action === "pass")) continue;
    if (front.length > 0) return { verdict: "allow", rules: front };
  }
  return { verdict: isolated ? "deny" : "allow", rules: [] };
}

const fromOwnNode: Rule = {
  origin: { kind: "Implicit", namespace: "", name: "allow-localhost", uid: "", index: 0 },
  subject: { requirements: [] },
  direction: "ingress",
  tier: "normal",
  priority: 0,
  action: "allow",
  peers: [
    {
      kind: "selector",
      selector: { requirements: [{ key: "reserved:host", operator: "Exists", values: [] }] },
    },
  ],
  ports: undefined,
  defaultDeny: false,
};

function peerHit(rule: Rule, { peer, block }: OracleQuestion): boolean {
  if (rule.peers === undefined) return true;
  return rule.peers.some((one) => {
    const labels = one.kind === "block" ? block : peer.labels;
    return labels !== undefined && peerMatches(one, labels);
  });
}

function portHit(rule: Rule, question: OracleQuestion): boolean {
  return rule.ports === undefined || rule.ports.some((range) => rangeHit(range, question));
}

function rangeHit(range: PortRange, question: OracleQuestion): boolean {
  const { proto, port, direction, subject, peer } = question;
  if (range.name !== undefined) {
    const named = direction === "ingress" ? subject.ports : peer.ports;
    const same = named.filter((one) => one.name === range.name && one.port === port && one.proto === proto);
    return same.length > 0 && (range.proto === 0 || range.proto === proto);
  }
  const whole = range.first === 0 && range.last === 65535;
  const protoHit = range.proto === 0 ? whole || [6, 17, 132].includes(proto) : range.proto === proto;
  return protoHit && range.first <= port && port <= range.last;
}
