// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PolicyEntry, ResolvedPolicy } from "./rule.ts";
import { verdict } from "./verdict.ts";

function entry(what: Partial<PolicyEntry>): PolicyEntry {
  const base = { direction: "ingress", identity: 0, proto: 0, portBits: 0, port: 0 } as const;
  return { ...base, verdict: "allow", precedence: 1, rule: 1, ...what };
}

function policy(...entries: PolicyEntry[]): ResolvedPolicy {
  return { id: 1, revision: 1, enforceIngress: true, enforceEgress: false, entries };
}

const web = { direction: "ingress", identity: 1000, proto: 6, port: 80 } as const;

test("without an entry the enforced direction denies and the other allows, neither explicitly", () => {
  assert.deepEqual(verdict(policy(), web), { verdict: "deny", explicit: false });
  assert.deepEqual(verdict(policy(), { ...web, direction: "egress" }), { verdict: "allow", explicit: false });
});

test("within one identity the longest prefix decides, whatever its precedence", () => {
  const wide = entry({ identity: 1000, proto: 6, precedence: 99 });
  const narrow = entry({ identity: 1000, proto: 6, portBits: 16, port: 80, verdict: "deny" });
  assert.equal(verdict(policy(wide, narrow), web).verdict, "deny");
  assert.equal(verdict(policy(wide, narrow), { ...web, port: 81 }).verdict, "allow");
});

test("between the peer's entry and anybody's the higher precedence decides, on a tie the peer's", () => {
  const own = entry({ identity: 1000, precedence: 9, rule: 10 });
  const any = (precedence: number) =>
    entry({ proto: 6, portBits: 16, port: 80, verdict: "deny", precedence, rule: 20 });
  assert.equal(verdict(policy(own, any(13)), web).entry?.rule, 20);
  assert.equal(verdict(policy(own, any(5)), web).entry?.rule, 10);
  assert.equal(verdict(policy(own, any(9)), web).entry?.rule, 10);
});

test("what is said of the address's block decides where nothing is found, or what yields and has a lower place", () => {
  const block = 0x03000001;
  const asked = { ...web, block };
  const [explicit, yields, low, high] = [1, 2, 4, 8];
  const said = entry({ identity: block, proto: 6, rule: 40, precedence: high + explicit });
  const own = (precedence: number) => entry({ identity: 1000, verdict: "deny", precedence, rule: 10 });
  assert.equal(verdict(policy(said), asked).entry?.rule, 40);
  assert.equal(verdict(policy(said, own(yields)), asked).entry?.rule, 40);
  assert.equal(verdict(policy(said, own(low + yields + explicit)), asked).entry?.rule, 40);
  assert.equal(verdict(policy(said, own(low + explicit)), asked).entry?.rule, 10);
  assert.equal(verdict(policy(said, own(high + yields + explicit)), asked).entry?.rule, 10);
  assert.equal(verdict(policy(said, own(yields)), web).entry?.rule, 10);
  const hole = entry({ identity: block, proto: 6, portBits: 16, port: 80, precedence: 0, verdict: "deny" });
  assert.equal(verdict(policy(said, hole, own(yields)), asked).entry?.rule, 10);
});

test("what passes leads to the entries of the second round, which are found no other way", () => {
  const passes = entry({ identity: 1000, verdict: "pass", precedence: 9, rule: 10 });
  const later = entry({ identity: 1000, round: 2, verdict: "deny", precedence: 5, rule: 20 });
  assert.equal(verdict(policy(passes, later), web).entry?.rule, 20);
  assert.deepEqual(verdict(policy(later), web), { verdict: "deny", explicit: false });
  assert.deepEqual(verdict(policy(passes), web), { verdict: "deny", explicit: false });
  const block = 0x03000001;
  const said = entry({ identity: block, round: 2, precedence: 9, rule: 40 });
  const yields = entry({ round: 2, precedence: 2, verdict: "deny", rule: 30 });
  assert.equal(verdict(policy(passes, said, yields), { ...web, block }).entry?.rule, 40);
});

test("port prefixes match by their leading bits", () => {
  const block = entry({ proto: 6, port: 0x1f00, portBits: 8 });
  assert.equal(verdict(policy(block), { ...web, port: 0x1fff }).verdict, "allow");
  assert.equal(verdict(policy(block), { ...web, port: 0x2000 }).verdict, "deny");
  assert.equal(verdict(policy(block), { ...web, proto: 17, port: 0x1fff }).verdict, "deny");
});

test("a denial of even precedence is the default's and names who isolates", () => {
  const isolating = entry({ verdict: "deny", precedence: 0, rule: 30 });
  const answer = verdict(policy(isolating), web);
  assert.deepEqual([answer.verdict, answer.explicit, answer.entry?.rule], ["deny", false, 30]);
});
