// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { WeftError } from "#lib/errors.ts";
import { compileNetworkPolicy } from "./from-network-policy.ts";
import { peerText } from "./peer.ts";
import { selectorText } from "./selector.ts";

function compile(spec: unknown, metadata: object = { name: "p", namespace: "shop" }) {
  return compileNetworkPolicy({ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec });
}

test("policy types default to ingress, and to egress as well when there are egress rules", () => {
  const directions = (spec: object) =>
    compile({ podSelector: {}, ...spec }).map(({ direction, origin }) => `${direction} ${origin.index}`);
  assert.deepEqual(directions({}), ["ingress -1"]);
  assert.deepEqual(directions({ ingress: [{}] }), ["ingress 0"]);
  assert.deepEqual(directions({ egress: [{}] }), ["ingress -1", "egress 0"]);
  assert.deepEqual(directions({ egress: [] }), ["ingress -1"]);
  assert.deepEqual(directions({ policyTypes: [], ingress: null, egress: [{}] }), ["ingress -1", "egress 0"]);
  assert.deepEqual(directions({ policyTypes: ["Egress"], ingress: [{}] }), ["egress -1"]);
  assert.deepEqual(directions({ policyTypes: ["Ingress", "Egress"] }), ["ingress -1", "egress -1"]);
});

test("an empty rule is anybody on any port; empty from and ports are the same as none", () => {
  for (const rule of [{}, { from: [] }, { ports: [] }, { from: [], ports: [] }]) {
    const [compiled] = compile({ podSelector: {}, ingress: [rule] });
    assert.deepEqual([compiled!.peers, compiled!.ports, compiled!.defaultDeny], [undefined, undefined, true]);
  }
});

test("fields that are null are absent, but neither labels nor rules", () => {
  const [rule] = compile({ podSelector: null, ingress: [{ from: null, ports: null }] });
  assert.deepEqual([rule!.peers, rule!.ports], [undefined, undefined]);
  assert.throws(
    () => compile({ podSelector: { matchLabels: { app: null } } }),
    /matchLabels\.app: must be a string, is null/,
  );
  assert.throws(
    () => compile({ podSelector: {}, ingress: [null] }),
    /spec\.ingress\[0\]: must be an object, is null/,
  );
});

test("peers: pods of the own namespace, of selected namespaces, both at once, and addresses", () => {
  const from = [
    { podSelector: { matchLabels: { app: "web" } } },
    { namespaceSelector: { matchLabels: { team: "a" } } },
    {
      namespaceSelector: {},
      podSelector: { matchExpressions: [{ key: "app", operator: "NotIn", values: ["db"] }] },
    },
    { ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16", "10.2.3.4/32"] } },
  ];
  const [rule] = compile({ podSelector: { matchLabels: { app: "api" } }, ingress: [{ from }] });
  assert.equal(selectorText(rule!.subject), "k8s:app=api, k8s:io.kubernetes.pod.namespace=shop");
  assert.deepEqual(rule!.peers!.map(peerText), [
    "{k8s:app=web, k8s:io.kubernetes.pod.namespace=shop}",
    "{k8s:io.cilium.k8s.namespace.labels.team=a, k8s:io.kubernetes.pod.namespace}",
    "{k8s:app notin (db), k8s:io.kubernetes.pod.namespace}",
    "block:10.0.0.0/8 except 10.1.0.0/16 10.2.3.4/32",
  ]);
});

test("ports: numbers, names, ranges, whole protocols; TCP by default", () => {
  const ports = [
    { port: 80 },
    { protocol: "UDP", port: "dns" },
    { port: 1000, endPort: 2000 },
    { protocol: "SCTP" },
    {},
  ];
  const [rule] = compile({ podSelector: {}, egress: [{ ports }], policyTypes: ["Egress"] });
  assert.deepEqual(rule!.ports, [
    { proto: 6, first: 80, last: 80 },
    { proto: 17, first: 0, last: 0, name: "dns" },
    { proto: 6, first: 1000, last: 2000 },
    { proto: 132, first: 0, last: 65535 },
    { proto: 6, first: 0, last: 65535 },
  ]);
});

test("what is malformed is named with its place", () => {
  const problems: [object, string][] = [
    [{ podSelecto: {} }, "spec.podSelecto: unknown field"],
    [{ podSelector: {}, policyTypes: ["Both"] }, 'spec.policyTypes[0]: "Both" is not one of Ingress, Egress'],
    [
      { podSelector: { matchLabels: { "a b": "c" } } },
      'spec.podSelector.matchLabels["a b"]: "a b" is not a label key',
    ],
    [
      { podSelector: { matchLabels: { a: "c d" } } },
      'spec.podSelector.matchLabels.a: "c d" is not a label value',
    ],
    [{ podSelector: {}, ingress: {} }, "spec.ingress: must be a list, is an object"],
    [
      { podSelector: {}, ingress: [{ from: [{}] }] },
      "spec.ingress[0].from[0]: needs podSelector, namespaceSelector or ipBlock",
    ],
    [{ podSelector: {}, ingress: [{ to: [] }] }, "spec.ingress[0].to: unknown field"],
    [
      { podSelector: {}, ingress: [{ ports: [{}, { port: 70000 }] }] },
      "spec.ingress[0].ports[1].port: 70000 is not a port (1 to 65535) or the name of one",
    ],
    [
      { podSelector: {}, ingress: [{ ports: [{ port: "80" }] }] },
      'spec.ingress[0].ports[0].port: "80" is not a port (1 to 65535) or the name of one',
    ],
    [
      { podSelector: {}, ingress: [{ ports: [{ port: 90, endPort: 80 }] }] },
      "spec.ingress[0].ports[0].endPort: 80 is less than port 90",
    ],
    [
      { podSelector: {}, ingress: [{ ports: [{ port: "web", endPort: 80 }] }] },
      "spec.ingress[0].ports[0].endPort: needs a numeric port",
    ],
    [
      { podSelector: {}, ingress: [{ ports: [{ protocol: "ICMP" }] }] },
      'spec.ingress[0].ports[0].protocol: "ICMP" is not one of TCP, UDP, SCTP',
    ],
    [
      { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0" } }] }] },
      'spec.ingress[0].from[0].ipBlock.cidr: "10.0.0.0" is not a CIDR prefix',
    ],
    [
      { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["11.0.0.0/8"] } }] }] },
      'spec.ingress[0].from[0].ipBlock.except[0]: "11.0.0.0/8" is not a part of 10.0.0.0/8',
    ],
    [
      { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0/8" }, podSelector: {} }] }] },
      "spec.ingress[0].from[0].ipBlock: can't stand beside podSelector or namespaceSelector",
    ],
  ];
  for (const [spec, message] of problems) {
    assert.throws(
      () => compile(spec),
      (error) =>
        error instanceof WeftError &&
        error.code === "E_MANIFEST" &&
        error.message === `NetworkPolicy shop/p: ${message}`,
      message,
    );
  }
  assert.throws(
    () => compile({ podSelector: {} }, { name: "No Name" }),
    /metadata\.name: "No Name" is not an object name/,
  );
  assert.throws(() => compileNetworkPolicy(null), /must be an object, is null/);
  assert.throws(
    () => compileNetworkPolicy({ kind: "Pod", metadata: { name: "x" } }),
    /Pod x: apiVersion: is required/,
  );
});

test("a label that identities do not carry selects nothing, so the policy is refused", () => {
  const label = { matchLabels: { "statefulset.kubernetes.io/pod-name": "db-0" } };
  const why = "label statefulset.kubernetes.io/pod-name differs from pod to pod and can't be selected by";
  const refusal = (spec: object, field: string) =>
    assert.throws(
      () => compile(spec),
      (error) =>
        error instanceof WeftError &&
        error.code === "E_POLICY_UNSUPPORTED" &&
        error.message === `NetworkPolicy shop/p: ${field}: ${why}`,
    );
  refusal({ podSelector: label }, "spec");
  refusal({ podSelector: {}, ingress: [{}, { from: [{ podSelector: label }] }] }, "spec.ingress[1]");
});
