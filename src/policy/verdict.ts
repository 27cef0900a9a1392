// SPDX-License-Identifier: Apache-2.0
import { isExplicitPrecedence, placeOfPrecedence, yieldsPrecedence } from "./judge.ts";
import type { PolicyEntry, ResolvedPolicy } from "./rule.ts";

/** One new connection (or packet of a flow that has no verdict yet), as the datapath asks. */
export interface Question {
  readonly direction: "ingress" | "egress";
  /** The peer's: source identity for ingress, destination identity for egress. */
  readonly identity: number;
  /** Identity of the longest prefix around the peer's address among those that blocks name; absent: none does. */
  readonly block?: number;
  /** IANA protocol number. */
  readonly proto: number;
  /** Destination port; ICMP and ICMPv6: the type; 0 for protocols that have neither. */
  readonly port: number;
}

export interface Verdict {
  /** `audit`: goes through, and is told: it would be denied if policies in audit were enforced. */
  readonly verdict: "allow" | "deny" | "audit";
  /** A rule said so (or would have): false for the default deny (drop reason 133, not 181) and when the direction is not enforced. */
  readonly explicit: boolean;
  /** The entry that decided; absent when none matched. */
  readonly entry?: PolicyEntry;
}

/**
 * The specification of the datapath's policy step (`bpf/lib/policy.h`, `verdict.h`), which must answer every question the same:
 *
 * 1. Two longest-prefix look-ups over (protocol, port): among the peer identity's entries, and among those of identity 0.
 * 2. Of the two entries the one with the higher place (the precedence, its two lowest bits aside) is taken; on a tie the peer identity's own.
 * 3. When there is none, or it yields (second lowest bit), a third look-up, among the entries of the address's block: what has a place higher
 *    still is taken instead.
 * 4. When what is taken passes, all of this once more among the entries of the second round.
 * 5. No entry: denied where the direction is enforced, else allowed.
 * 6. Allowed: 1 to 4 among the entries of the audit, where there are any; what these deny is told as theirs, and goes through.
 *
 * The lowest bit of the precedence says whether a rule decided (set: explicit) or a default: the rule of a default denial names the
 * policies that isolate the endpoint.
 */
export function verdict(policy: ResolvedPolicy, question: Question): Verdict {
  const enforced = ask(policy, question, undefined);
  const isolated = question.direction === "ingress" ? policy.enforceIngress : policy.enforceEgress;
  const denied = enforced ? enforced.verdict === "deny" : isolated;
  const audited = denied ? undefined : ask(policy, question, true);
  if (audited?.verdict === "deny") return verdictOf("audit", audited);
  return verdictOf(denied ? "deny" : "allow", enforced);
}

function verdictOf(said: Verdict["verdict"], entry: PolicyEntry | undefined): Verdict {
  if (!entry) return { verdict: said, explicit: false };
  return { verdict: said, explicit: isExplicitPrecedence(entry.precedence), entry };
}

function ask(policy: ResolvedPolicy, question: Question, audit: true | undefined): PolicyEntry | undefined {
  const entries = policy.entries.filter(
    (entry) => entry.direction === question.direction && entry.audit === audit,
  );
  const first = look(entries, question, undefined);
  const entry = first?.verdict === "pass" ? look(entries, question, 2) : first;
  return entry?.verdict === "pass" ? undefined : entry;
}

function look(
  entries: readonly PolicyEntry[],
  question: Question,
  round: PolicyEntry["round"],
): PolicyEntry | undefined {
  const asked = entries.filter((entry) => entry.round === round);
  const exact = longestMatch(asked, question, question.identity);
  const any = longestMatch(asked, question, 0);
  const found = place(any) > place(exact) ? any : (exact ?? any);
  if (question.block === undefined || (found && !yieldsPrecedence(found.precedence))) return found;
  const said = longestMatch(asked, question, question.block);
  return place(said) > place(found) ? said : found;
}

/** What is absent stands below all, with what a block's rules leave open. */
function place(entry: PolicyEntry | undefined): number {
  return entry ? placeOfPrecedence(entry.precedence) : 0;
}

function longestMatch(
  entries: readonly PolicyEntry[],
  question: Question,
  identity: number,
): PolicyEntry | undefined {
  let best: PolicyEntry | undefined;
  for (const entry of entries) {
    if (entry.identity !== identity) continue;
    if (covers(entry, question) && (!best || prefixBits(entry) > prefixBits(best))) best = entry;
  }
  return best;
}

/** Bits of (protocol, port) an entry fixes: 0, 8, or 8 plus the port's. */
export function prefixBits(entry: PolicyEntry): number {
  return entry.proto === 0 ? 0 : 8 + entry.portBits;
}

function covers(entry: PolicyEntry, question: Question): boolean {
  if (entry.proto === 0) return true;
  const shift = 16 - entry.portBits;
  return entry.proto === question.proto && entry.port >>> shift === question.port >>> shift;
}
