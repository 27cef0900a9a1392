// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { auditAnnotation, isSwitchedOn } from "#model/annotations.ts";
import { auditedRules } from "./audit.ts";
import { IdentityIndex } from "./peer-index.ts";
import { resolve } from "./resolve.ts";
import type { Rule } from "./rule.ts";
import { RuleIds } from "./rule-ids.ts";
import { verdict } from "./verdict.ts";

const rule = (name: string, what: Partial<Rule>): Rule => ({
  origin: { kind: "NetworkPolicy", namespace: "shop", name, uid: "", index: 0 },
  subject: { requirements: [] },
  direction: "egress",
  tier: "normal",
  priority: 0,
  action: "allow",
  peers: undefined,
  ports: undefined,
  defaultDeny: false,
  ...what,
});
const web = [{ proto: 6, first: 80, last: 80 }];
const isolate = { peers: [], defaultDeny: true } as const;
const peers = new IdentityIndex();

/** What happens to TCP port 80, and who is named for it. */
function asked(rules: readonly Rule[]) {
  const ids = new RuleIds();
  const ruleId = ids.idOf.bind(ids);
  const policy = resolve({ id: 1, rules, peers, ports: [], ruleId, enforcement: "default" });
  const got = verdict(policy, { direction: "egress", identity: 1000, proto: 6, port: 80 });
  const names = ids.origins(got.entry?.rule ?? 0)?.map(({ name }) => name) ?? [];
  return [got.verdict, got.explicit, ...names];
}

test("what only policies in audit deny goes through, and names them", () => {
  const audit = true as const;
  const isolated = rule("isolated", { ...isolate, audit });
  assert.deepEqual(asked([isolated]), ["audit", false, "isolated"]);
  const deny = rule("deny", { action: "deny", ports: web, audit });
  assert.deepEqual(asked([deny]), ["audit", true, "deny"]);
  assert.deepEqual(asked([deny, isolated]), ["audit", true, "deny"]);
  assert.deepEqual(asked([isolated, rule("allow", { ports: web })]), ["allow", true, "allow"]);
});

test("what is denied without them is denied, and names who denies", () => {
  const audit = true as const;
  const deny = rule("deny", { action: "deny", tier: "admin", audit });
  assert.deepEqual(asked([deny, rule("other", isolate)]), ["deny", false, "other"]);
  assert.deepEqual(asked([deny, rule("same", { action: "deny", tier: "admin" })]), ["deny", true, "same"]);
  assert.deepEqual(asked([rule("isolated", { ...isolate, audit }), rule("other", isolate)]), [
    "deny",
    false,
    "other",
  ]);
});

test("the annotation puts every rule of an object in audit", () => {
  const rules = [rule("a", {}), rule("b", isolate)];
  assert.equal(auditedRules(rules, undefined), rules);
  assert.equal(auditedRules(rules, { [auditAnnotation]: "false" }), rules);
  assert.ok(auditedRules(rules, { [auditAnnotation]: "true" }).every(({ audit }) => audit));
  assert.deepEqual(
    ["1", "True", "yes", ""].map((text) => isSwitchedOn({ x: text }, "x")),
    [true, true, false, false],
  );
});
