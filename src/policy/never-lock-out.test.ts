// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress, parsePrefix } from "#model/ip.ts";
import { PolicyEngine } from "./engine.ts";
import { compileCiliumPolicy } from "./from-cilium.ts";
import { type NeverLockOut, neverLockOutRules } from "./never-lock-out.ts";
import type { ResolvedPolicy } from "./rule.ts";
import { type Question, verdict } from "./verdict.ts";

const host = { id: 65535, labels: new Map([["reserved:host", ""]]), namedPorts: [] };
const world = 9;
const server = 7;

/** The worst that policies can say of a node: nothing in, nothing out, by denial and by default. */
const closed = compileCiliumPolicy({
  apiVersion: "cilium.io/v2",
  kind: "CiliumClusterwideNetworkPolicy",
  metadata: { name: "closed" },
  spec: {
    nodeSelector: {},
    ingressDeny: [{ fromEntities: ["all"] }],
    egressDeny: [{ toEntities: ["all"] }],
  },
});

/** What the node's map says under that policy; identities of the blocks by prefix. */
function underThe(settings: NeverLockOut, enforcement: "default" | "never" = "default") {
  const engine = new PolicyEngine(enforcement, neverLockOutRules(settings));
  const blocks = [...engine.requiredPrefixes().blocks];
  engine.setIdentity({ id: world, labels: new Map([["reserved:world-ipv4", ""]]) });
  engine.setIdentity({ id: server, labels: new Map([["reserved:kube-apiserver", ""]]) });
  for (const [index, prefix] of blocks.entries())
    engine.setIdentity({ id: 0x03_00_00_01 + index, labels: new Map([[`block:${prefix}`, ""]]) });
  engine.setPolicy("closed", closed);
  engine.setEndpoint(host);
  const { policies } = engine.flush();
  const blockOf = (prefix: string) => 0x03_00_00_01 + blocks.indexOf(parsePrefix(prefix));
  return { policy: policies[0], blockOf, blocks };
}

function ask(policy: ResolvedPolicy | undefined, question: Partial<Question>): string {
  return verdict(policy!, { direction: "ingress", identity: world, proto: 6, port: 22, ...question }).verdict;
}

test("nothing stays open that nobody asked for", () => {
  const { policy } = underThe({ ports: [], cidrs: [] });
  for (const port of [22, 443, 6443]) assert.equal(ask(policy, { port }), "deny");
  assert.equal(ask(policy, { direction: "egress", identity: server, port: 6443 }), "deny");
  assert.deepEqual(neverLockOutRules({ ports: [], cidrs: [parsePrefix("192.0.2.0/24")] }), []);
});

test("ports stay open to everyone, by TCP, on the way in", () => {
  const { policy } = underThe({ ports: [22, 2222], cidrs: [] });
  assert.equal(ask(policy, {}), "allow");
  assert.equal(ask(policy, { port: 2222 }), "allow");
  assert.equal(ask(policy, { identity: 777 }), "allow", "an identity nobody knows yet");
  assert.equal(ask(policy, { port: 23 }), "deny");
  assert.equal(ask(policy, { proto: 17 }), "deny");
  assert.equal(ask(policy, { direction: "egress" }), "deny");
});

test("with CIDRs, to them alone, whoever has the addresses", () => {
  const { policy, blockOf, blocks } = underThe({
    ports: [22],
    cidrs: [parsePrefix("192.0.2.0/24"), parsePrefix("2001:db8::/32")],
  });
  assert.deepEqual(blocks.sort(), ["192.0.2.0/24", "2001:db8::/32"]);
  for (const cidr of ["192.0.2.0/24", "2001:db8::/32"]) {
    assert.equal(ask(policy, { block: blockOf(cidr) }), "allow");
    assert.equal(ask(policy, { identity: 300, block: blockOf(cidr) }), "allow", "a pod has it");
    assert.equal(ask(policy, { block: blockOf(cidr), port: 80 }), "deny");
  }
  assert.equal(ask(policy, {}), "deny");
});

test("the way to API servers stays open, by their entity and by the address the agent knows", () => {
  const { policy, blockOf } = underThe({
    ...{ apiServerPorts: [443, 6443], apiServerAddress: parseAddress("198.51.100.7") },
    ...{ ports: [], cidrs: [] },
  });
  const out = { direction: "egress" } as const;
  for (const port of [443, 6443]) {
    assert.equal(ask(policy, { ...out, identity: server, port }), "allow");
    assert.equal(ask(policy, { ...out, block: blockOf("198.51.100.7/32"), port }), "allow");
    assert.equal(ask(policy, { port }), "allow", "to one on the node");
    assert.equal(ask(policy, { ...out, port }), "deny", "not to anybody");
  }
  assert.equal(ask(policy, { ...out, identity: server, port: 80 }), "deny");
});

test("it says nothing of pods, and of no node that policies do not select", () => {
  const engine = new PolicyEngine("default", neverLockOutRules({ ports: [22], cidrs: [] }));
  engine.setEndpoint(host);
  engine.setEndpoint({ id: 1, labels: new Map([["k8s:app", "a"]]), namedPorts: [] });
  const { policies, endpoints } = engine.flush();
  assert.deepEqual(policies, []);
  assert.ok(endpoints.every(({ policyId }) => policyId === 0));
});

test("switched off as a whole, nothing judges the node", () => {
  assert.equal(underThe({ ports: [22], cidrs: [] }, "never").policy, undefined);
});
