// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePrefix } from "#model/ip.ts";
import { parseLabels } from "#model/labels.ts";
import { peerMatches, peerText, requiredPrefixes } from "./peer.ts";
import type { Peer, Requirement, Rule } from "./rule.ts";
import { matches, requirementsOf, selectorText, sourced } from "./selector.ts";

const web = parseLabels(["k8s:app=web", "k8s:tier=", "k8s:io.kubernetes.pod.namespace=shop"]);

function holds(key: string, operator: Requirement["operator"], ...values: string[]): boolean {
  return matches({ requirements: [{ key, operator, values }] }, web);
}

test("operators mean what they mean in Kubernetes", () => {
  assert.ok(holds("k8s:app", "In", "db", "web") && !holds("k8s:app", "In", "db"));
  assert.ok(holds("k8s:app", "NotIn", "db") && !holds("k8s:app", "NotIn", "web"));
  assert.ok(holds("k8s:absent", "NotIn", "web"), "a label that is absent is not in");
  assert.ok(holds("k8s:tier", "Exists") && !holds("k8s:absent", "Exists"));
  assert.ok(holds("k8s:absent", "DoesNotExist") && !holds("k8s:app", "DoesNotExist"));
  assert.ok(matches({ requirements: [] }, web));
});

test("a key of any source matches each source, another source does not", () => {
  assert.ok(holds("any:app", "In", "web"));
  assert.ok(!holds("container:app", "In", "web"));
  assert.ok(
    matches(
      { requirements: [{ key: "any:host", operator: "Exists", values: [] }] },
      parseLabels(["reserved:host"]),
    ),
  );
});

test("sources of keys are read as Cilium writes them", () => {
  assert.deepEqual(["app", "k8s:app", "any:app", "reserved:host"].map(sourced), [
    "any:app",
    "k8s:app",
    "any:app",
    "reserved:host",
  ]);
});

test("the order in which a selector was written does not matter to its text", () => {
  const one = requirementsOf({ matchLabels: { a: "1", b: "2" } }, sourced);
  const other = requirementsOf(
    { matchLabels: { b: "2" }, matchExpressions: [{ key: "a", operator: "In", values: ["1"] }] },
    sourced,
  );
  assert.equal(selectorText({ requirements: one }), selectorText({ requirements: other }));
});

const everything = parsePrefix("0.0.0.0/0");
const ten = parsePrefix("10.0.0.0/8");
const tenOne = parsePrefix("10.1.0.0/16");
const cidr = (prefix = ten, ...except: (typeof ten)[]): Peer => ({ kind: "cidr", prefix, except });

test("a CIDR means the identities of its parts, without those of its excepts", () => {
  const whole = parseLabels(["cidr:10.0.0.0/8", "cidr:0.0.0.0/0", "reserved:world"]);
  const part = parseLabels(["cidr:10.1.0.0/16", "cidr:10.0.0.0/8", "cidr:0.0.0.0/0", "reserved:world"]);
  assert.ok(peerMatches(cidr(), whole) && peerMatches(cidr(), part));
  assert.ok(!peerMatches(cidr(tenOne), whole) && peerMatches(cidr(tenOne), part));
  assert.ok(peerMatches(cidr(ten, tenOne), whole) && !peerMatches(cidr(ten, tenOne), part));
  assert.ok(!peerMatches(cidr(), web), "pods have no CIDR");
  assert.ok(
    peerMatches(cidr(everything), parseLabels(["reserved:world"])),
    "the world is what no longer prefix took",
  );
  assert.ok(!peerMatches(cidr(everything), parseLabels(["reserved:world-ipv6"])));
  assert.ok(!peerMatches(cidr(), parseLabels(["reserved:world"])));
});

test("entities mean the identities of their reserved labels", () => {
  const is = (entity: string, ...labels: string[]) =>
    peerMatches({ kind: "entity", entity }, parseLabels(labels));
  assert.ok(
    is("world", "reserved:world") &&
      is("world", "reserved:world-ipv4") &&
      is("world", "cidr:10.0.0.0/8", "reserved:world"),
  );
  assert.ok(
    is("world-ipv4", "cidr:10.0.0.0/8", "reserved:world") &&
      !is("world-ipv6", "cidr:10.0.0.0/8", "reserved:world"),
  );
  assert.ok(is("world-ipv4", "reserved:world-ipv4") && !is("world-ipv6", "reserved:world-ipv4"));
  assert.ok(is("host", "reserved:host") && !is("host", "reserved:remote-node"));
  assert.ok(is("cluster", "reserved:host") && is("cluster", "k8s:io.kubernetes.pod.namespace=shop"));
  assert.ok(
    !is("cluster", "reserved:world") && !is("none", "reserved:host") && is("all", "reserved:unknown"),
  );
});

test("prefixes that need an identity are those named, excepts too", () => {
  const rule = { peers: [cidr(ten, tenOne), cidr(), { kind: "entity", entity: "world" }] } as unknown as Rule;
  assert.deepEqual(requiredPrefixes("cidr", [rule, { peers: undefined } as Rule]), [ten, tenOne]);
  assert.equal(peerText(cidr(ten, tenOne)), "cidr:10.0.0.0/8 except 10.1.0.0/16");
});
