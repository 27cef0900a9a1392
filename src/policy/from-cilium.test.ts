// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { WeftError } from "#lib/errors.ts";
import { ciliumRules, compileCiliumPolicy } from "./from-cilium.ts";
import { compileRow, languageOf } from "./languages.ts";
import { peerText } from "./peer.ts";
import type { Rule } from "./rule.ts";
import { selectorText } from "./selector.ts";

const selectsWeb = { endpointSelector: { matchLabels: { app: "web" } } };

function compile(rule: object, kind = "CiliumNetworkPolicy"): Rule[] {
  const metadata = { name: "p", ...(kind === "CiliumNetworkPolicy" && { namespace: "shop" }) };
  return compileCiliumPolicy({
    apiVersion: "cilium.io/v2",
    kind,
    metadata,
    spec: { ...selectsWeb, ...rule },
  });
}

const clusterwide = (rule: object) => compile(rule, "CiliumClusterwideNetworkPolicy");
const peersOf = (rule: Rule | undefined) => rule!.peers?.map(peerText);

test("selectors without a namespace mean the policy's own", () => {
  const [rule] = compile({
    ingress: [
      {
        fromEndpoints: [
          {},
          { matchLabels: { "k8s:app": "db" } },
          { matchLabels: { "k8s:io.kubernetes.pod.namespace": "lab" } },
          { matchExpressions: [{ key: "io.kubernetes.pod.namespace", operator: "Exists" }] },
          { matchLabels: { "k8s:io.cilium.k8s.namespace.labels.team": "a" } },
          { matchLabels: { "reserved:host": "" } },
        ],
      },
    ],
  });
  assert.equal(selectorText(rule!.subject), "any:app=web, k8s:io.kubernetes.pod.namespace=shop");
  assert.deepEqual(peersOf(rule), [
    "{k8s:io.kubernetes.pod.namespace=shop}",
    "{k8s:app=db, k8s:io.kubernetes.pod.namespace=shop}",
    "{k8s:io.kubernetes.pod.namespace=lab}",
    "{any:io.kubernetes.pod.namespace}",
    "{k8s:io.cilium.k8s.namespace.labels.team=a}",
    "{reserved:host=}",
  ]);
});

test("a cluster-wide policy's selectors mean pods of any namespace", () => {
  const [rule] = clusterwide({ egress: [{ toEndpoints: [{}, { matchLabels: { app: "db" } }] }] });
  assert.equal(selectorText(rule!.subject), "any:app=web");
  assert.deepEqual(peersOf(rule), [
    "{k8s:io.kubernetes.pod.namespace}",
    "{any:app=db, k8s:io.kubernetes.pod.namespace}",
  ]);
});

test("an empty rule isolates and allows nobody; ports alone are for anybody; an empty list of peers is nobody", () => {
  assert.deepEqual(
    compile({ ingress: [{}] }).map(({ peers, ports, defaultDeny }) => [peers, ports, defaultDeny]),
    [[[], undefined, true]],
  );
  const [ports] = compile({ ingress: [{ toPorts: [{ ports: [{ port: "80", protocol: "TCP" }] }] }] });
  assert.deepEqual([ports!.peers, ports!.ports], [undefined, [{ proto: 6, first: 80, last: 80 }]]);
  assert.deepEqual(compile({ ingress: [{ fromEndpoints: [] }] })[0]!.peers, []);
  assert.deepEqual(
    compile({ egress: [{ toCIDR: [], toPorts: [{ ports: [{ port: "80" }] }] }] })[0]!.peers,
    [],
  );
  assert.deepEqual(compile({ ingress: [{ fromEntities: ["world", "all"] }] })[0]!.peers, undefined);
});

test("default deny follows from rules, or from what the policy says", () => {
  const isolation = (rule: object) =>
    compile(rule).map(({ direction, defaultDeny, origin }) => [direction, defaultDeny, origin.index]);
  assert.deepEqual(isolation({ ingress: [] }), []);
  assert.deepEqual(isolation({ egressDeny: [{ toEntities: ["world"] }] }), [["egress", true, 0]]);
  assert.deepEqual(
    isolation({ egressDeny: [{ toEntities: ["world"] }], enableDefaultDeny: { egress: false } }),
    [["egress", false, 0]],
  );
  assert.deepEqual(isolation({ enableDefaultDeny: { ingress: true } }), [["ingress", true, -1]]);
});

test("peers by address and entity, denials, several specs", () => {
  const rules = compileCiliumPolicy({
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name: "p" },
    spec: { ...selectsWeb, ingressDeny: [{ fromCIDR: ["10.0.0.1", "fd00::/8"] }] },
    specs: [
      { ...selectsWeb, egress: [{ toCIDRSet: [{ cidr: "0.0.0.0/0", except: ["10.0.0.0/8"] }] }] },
      { ...selectsWeb, egressDeny: [{ toEntities: ["host", "remote-node"] }] },
    ],
  });
  assert.deepEqual(
    rules.map((rule) => [rule.origin.field, rule.action, ...rule.peers!.map(peerText)]),
    [
      ["spec.ingressDeny[0]", "deny", "cidr:10.0.0.1/32", "cidr:fd00::/8"],
      ["specs[0].egress[0]", "allow", "cidr:0.0.0.0/0 except 10.0.0.0/8"],
      ["specs[1].egressDeny[0]", "deny", "entity:host", "entity:remote-node"],
    ],
  );
  assert.equal(rules[0]!.origin.namespace, "default");
});

test("ports: ANY is every protocol with ports, 0 is any port, names and ranges, ICMP types", () => {
  const ports = (list: object[]) => compile({ ingress: [{ toPorts: [{ ports: list }] }] })[0]!.ports;
  assert.deepEqual(
    ports([{ port: "53" }]),
    [6, 17, 132].map((proto) => ({ proto, first: 53, last: 53 })),
  );
  assert.deepEqual(ports([{ port: "0" }]), [{ proto: 0, first: 0, last: 65535 }]);
  assert.deepEqual(ports([{ port: "0", protocol: "UDP" }]), [{ proto: 17, first: 0, last: 65535 }]);
  assert.deepEqual(ports([{ port: 8000, endPort: 8080, protocol: "TCP" }]), [
    { proto: 6, first: 8000, last: 8080 },
  ]);
  assert.deepEqual(ports([{ port: "web", protocol: "TCP" }]), [{ proto: 6, first: 0, last: 0, name: "web" }]);
  assert.deepEqual(ports([{ protocol: "GRE" }]), [{ proto: 47, first: 0, last: 65535 }]);
  const fields = [{ type: 8 }, { type: "EchoRequest", family: "IPv6" }, { type: "3" }];
  assert.deepEqual(compile({ ingress: [{ icmps: [{ fields }] }] })[0]!.ports, [
    { proto: 1, first: 8, last: 8 },
    { proto: 58, first: 128, last: 128 },
    { proto: 1, first: 3, last: 3 },
  ]);
});

test("what is malformed is named with its place", () => {
  const problems: [object, string][] = [
    [
      { ingress: [{ toPorts: [{ ports: [{ port: "80" }, { port: "70000" }] }] }] },
      'spec.ingress[0].toPorts[0].ports[1].port: "70000" is not a port',
    ],
    [
      { ingress: [{ toPorts: [{ ports: [{ port: "80", protocol: "tcp" }] }] }] },
      'spec.ingress[0].toPorts[0].ports[0].protocol: "tcp" is not one of TCP, UDP, SCTP, VRRP, IGMP, GRE, IPIP, IPV6, ESP, AH, ANY',
    ],
    [
      { ingress: [{ toPorts: [{ ports: [] }] }] },
      "spec.ingress[0].toPorts[0].ports: needs at least one port",
    ],
    [
      { ingress: [{ fromEntities: ["mars"] }] },
      'spec.ingress[0].fromEntities[0]: "mars" is not one of all, world, world-ipv4, world-ipv6, cluster, cluster-mesh, host, init, ingress, unmanaged, remote-node, health, none, kube-apiserver',
    ],
    [
      { ingress: [{ fromEndpoints: [{}], fromEntities: ["world"] }] },
      "spec.ingress[0].fromEntities: can't stand beside fromEndpoints: write two rules",
    ],
    [
      { ingress: [{ toPorts: [], icmps: [] }] },
      "spec.ingress[0].icmps: can't stand beside toPorts: write two rules",
    ],
    [
      { ingress: [{ icmps: [{ fields: [{ type: "EchoRequst" }] }] }] },
      'spec.ingress[0].icmps[0].fields[0].type: "EchoRequst" is not an ICMP type of IPv4',
    ],
    [
      { egress: [{ toCIDR: ["10.0.0.0/40"] }] },
      'spec.egress[0].toCIDR[0]: "10.0.0.0/40" is neither a CIDR prefix nor an IP address',
    ],
    [
      { egress: [{ toPorts: [{ ports: [{ port: "80" }], rules: { kafka: [] } }] }] },
      "spec.egress[0].toPorts[0].rules.kafka: unknown field",
    ],
    [{ ingres: [] }, "spec.ingres: unknown field"],
    [{ nodeSelector: {} }, "spec: has both endpointSelector and nodeSelector"],
  ];
  for (const [rule, message] of problems) {
    assert.throws(
      () => compile(rule),
      (error) =>
        error instanceof WeftError &&
        error.code === "E_MANIFEST" &&
        error.message === `CiliumNetworkPolicy shop/p: ${message}`,
      message,
    );
  }
  const empty = {
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name: "p", namespace: "shop" },
  };
  assert.throws(() => compileCiliumPolicy(empty), /shop\/p: needs spec or specs/);
});

test("what is not enforced refuses the whole policy, by the field", () => {
  const http = {
    toPorts: [{ ports: [{ port: "80", protocol: "TCP" }], rules: { http: [{ method: "GET" }] } }],
  };
  const problems: [object, string][] = [
    [{ ingress: [{ fromEntities: ["all"] }, http] }, "spec.ingress[1].toPorts[0].rules.http"],
    [
      { egress: [{ toPorts: [{ ports: [{ port: "53" }], rules: { dns: [{ matchPattern: "*" }] } }] }] },
      "spec.egress[0].toPorts[0].rules.dns",
    ],
    [{ egress: [{ toFQDNs: [{ matchName: "example.org" }] }] }, "spec.egress[0].toFQDNs"],
    [
      { ingress: [{ fromEntities: ["host"], authentication: { mode: "required" } }] },
      "spec.ingress[0].authentication.mode",
    ],
    [
      { egress: [{ toPorts: [{ ports: [{ port: "443" }], serverNames: ["a.example"] }] }] },
      "spec.egress[0].toPorts[0].serverNames",
    ],
  ];
  for (const [rule, field] of problems) {
    assert.throws(
      () => compile(rule),
      (error) =>
        error instanceof WeftError &&
        error.code === "E_POLICY_UNSUPPORTED" &&
        error.message.startsWith(`CiliumNetworkPolicy shop/p: ${field}: `),
      field,
    );
  }
  const node = {
    kind: "CiliumClusterwideNetworkPolicy",
    apiVersion: "cilium.io/v2",
    metadata: { name: "p" },
    spec: { nodeSelector: { matchLabels: { zone: "a" } }, ingress: [{}] },
  };
  const [about] = compileCiliumPolicy(node);
  assert.deepEqual(about?.subject.requirements, [
    { key: "reserved:host", operator: "Exists", values: [] },
    { key: "any:zone", operator: "In", values: ["a"] },
  ]);
  const namespaced = { ...node, kind: "CiliumNetworkPolicy", metadata: { name: "p", namespace: "shop" } };
  assert.throws(() => compileCiliumPolicy(namespaced), /spec\.nodeSelector/);
});

test("authentication that is off and layer 7 rules that are empty change nothing", () => {
  const rule = {
    fromEntities: ["host"],
    authentication: { mode: "disabled" },
    toPorts: [{ ports: [{ port: "80" }], rules: {} }],
  };
  assert.equal(compile({ ingress: [rule] }).length, 1);
});

test("what needs more than the datapath is read, carried, and refused as a whole", () => {
  const port = { port: "443", protocol: "TCP" };
  const object = (rule: object) => ({
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name: "p", namespace: "shop" },
    spec: { ...selectsWeb, ...rule },
  });
  const needing: [object, string, string][] = [
    [
      { ingress: [{ toPorts: [{ ports: [port], rules: { http: [{ path: "/(a|b)?" }] } }] }] },
      "proxy",
      "http",
    ],
    [{ egress: [{ toFQDNs: [{ matchPattern: "*.example.org" }] }] }, "dns", "toFQDNs"],
    [{ egress: [{ toPorts: [{ ports: [port], serverNames: ["*.example.org"] }] }] }, "tls", "serverNames"],
    [{ egress: [{ toPorts: [{ ports: [port], terminatingTLS: { secret: { name: "s" } } }] }] }, "tls", "TLS"],
    [{ ingress: [{ fromEntities: ["host"], authentication: { mode: "required" } }] }, "auth", "mode"],
  ];
  for (const [rule, kind, field] of needing) {
    const needs = ciliumRules(object(rule)).flatMap((one) => one.needs ?? []);
    assert.deepEqual([needs.length, needs[0]?.kind, needs[0]?.field.endsWith(field)], [1, kind, true], field);
    const language = languageOf(object(rule))!;
    const row = compileRow(language, object(rule));
    assert.deepEqual([row.rules, row.needs, row.refused?.code], [[], [kind], "E_POLICY_UNSUPPORTED"]);
  }
});

test("what of layer 7 contradicts itself is malformed, by the field", () => {
  const tcp = { port: "80", protocol: "TCP" };
  const toPorts = (rule: object) => ({ egress: [{ toPorts: [rule] }] });
  const at = "spec.egress[0].toPorts[0]";
  const problems: [object, string][] = [
    [toPorts({ ports: [tcp], rules: { http: [{ path: "(" }] } }), `${at}.rules.http[0].path`],
    [toPorts({ ports: [tcp], rules: { http: [{ path: "(?=a)" }] } }), `${at}.rules.http[0].path`],
    [toPorts({ ports: [{ port: "80" }], rules: { http: [{}] } }), `${at}.ports[0].protocol`],
    [toPorts({ ports: [{ port: "0", protocol: "TCP" }], rules: { http: [{}] } }), `${at}.ports[0].port`],
    [toPorts({ ports: [tcp], rules: { http: [{}], dns: [{ matchName: "a" }] } }), `${at}.rules.dns`],
    [toPorts({ ports: [tcp], rules: { dns: [{}] } }), `${at}.rules.dns[0]`],
    [toPorts({ ports: [tcp], rules: { kafka: [{}] } }), `${at}.rules.kafka`],
    [toPorts({ rules: { dns: [{ matchName: "a" }] } }), `${at}.ports`],
    [toPorts({ ports: [tcp], serverNames: ["a"], rules: { http: [{}] } }), `${at}.serverNames`],
    [
      { ingress: [{ toPorts: [{ ports: [tcp], rules: { dns: [{ matchName: "a" }] } }] }] },
      "spec.ingress[0].toPorts[0].rules.dns",
    ],
    [{ ingress: [{ toFQDNs: [{ matchName: "a" }] }] }, "spec.ingress[0].toFQDNs"],
    [{ egress: [{ toFQDNs: [{ matchName: "a", matchPattern: "b" }] }] }, "spec.egress[0].toFQDNs[0]"],
    [{ egress: [{ toServices: [{}] }] }, "spec.egress[0].toServices[0]"],
    [
      { egress: [{ toCIDRSet: [{ cidr: "10.0.0.0/8", except: ["11.0.0.0/8"] }] }] },
      "spec.egress[0].toCIDRSet[0].except[0]",
    ],
    [{ ingress: [{ fromRequires: [{}] }] }, "spec.ingress[0].fromRequires"],
    [{ log: { value: "a\u0000b" } }, "spec.log.value"],
  ];
  for (const [rule, field] of problems) {
    const wrong = (error: unknown) =>
      error instanceof WeftError &&
      error.code === "E_MANIFEST" &&
      error.message.startsWith(`CiliumNetworkPolicy shop/p: ${field}: `);
    assert.throws(() => compile(rule), wrong, field);
  }
});

test("what the policy says of itself is with its rules; a namespace that is not its own counts for nothing", () => {
  const labels = [{ key: "team", source: "k8s", value: "web" }, { key: "tier" }];
  const endpointSelector = { matchLabels: { "k8s:io.kubernetes.pod.namespace": "other", app: "web" } };
  const [rule] = compile({ endpointSelector, labels, log: { value: "seen" }, ingress: [{}] });
  assert.deepEqual([rule!.origin.log, rule!.origin.labels], ["seen", ["k8s:team=web", "unspec:tier"]]);
  assert.equal(selectorText(rule!.subject), "any:app=web, k8s:io.kubernetes.pod.namespace=shop");
});
