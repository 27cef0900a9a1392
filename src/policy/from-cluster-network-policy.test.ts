// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { WeftError } from "#lib/errors.ts";
import { compileClusterNetworkPolicy } from "./from-cluster-network-policy.ts";
import { peerText } from "./peer.ts";
import { selectorText } from "./selector.ts";

const kind = { apiVersion: "policy.networking.k8s.io/v1alpha2", kind: "ClusterNetworkPolicy" };
const plain = { tier: "Admin", priority: 10, subject: { namespaces: {} } };
const anyPod = { namespaces: {} };

function compile(spec: object) {
  return compileClusterNetworkPolicy({ ...kind, metadata: { name: "p" }, spec: { ...plain, ...spec } });
}

function egress(...rules: readonly object[]) {
  return compile({ egress: rules.map((rule) => ({ action: "Deny", to: [anyPod], ...rule })) });
}

test("tier, priority and the order of the list are the place of a rule; it isolates nobody", () => {
  const rules = compile({
    tier: "Baseline",
    priority: 1000,
    ingress: [
      { action: "Pass", from: [anyPod] },
      { name: "no-more", action: "Deny", from: [anyPod] },
    ],
    egress: [{ action: "Accept", to: [anyPod] }],
  });
  assert.deepEqual(
    rules.map(({ direction, tier, priority, action, defaultDeny }) => [
      ...[direction, tier, priority, action, defaultDeny],
    ]),
    [
      ["ingress", "baseline", 25_000, "pass", false],
      ["ingress", "baseline", 25_001, "deny", false],
      ["egress", "baseline", 25_000, "allow", false],
    ],
  );
  assert.deepEqual(rules[1]!.origin, {
    kind: "ClusterNetworkPolicy",
    namespace: "",
    name: "p",
    uid: "",
    index: 1,
    field: "spec.ingress[1]",
    rule: "no-more",
  });
  assert.deepEqual(compile({ priority: 0 }), []);
});

test("subjects and peers are pods with an address of their own, by labels of their namespace and their own", () => {
  const team = { matchLabels: { team: "a" } };
  const [rule] = compile({
    subject: { pods: { namespaceSelector: team, podSelector: { matchLabels: { app: "web" } } } },
    egress: [{ action: "Deny", to: [{ namespaces: team }, { pods: { podSelector: {} } }] }],
  });
  const own = "k8s:io.kubernetes.pod.namespace";
  const ofTeam = "k8s:io.cilium.k8s.namespace.labels.team=a";
  assert.equal(selectorText(rule!.subject), `k8s:app=web, ${ofTeam}, ${own}`);
  assert.deepEqual(rule!.peers!.map(peerText), [`{${ofTeam}, ${own}}`, `{${own}}`]);
});

test("networks are addresses, whoever has them", () => {
  const [rule] = egress({ to: [{ networks: ["10.0.0.0/8", "fd00::/8"] }, anyPod] });
  assert.deepEqual(rule!.peers!.map(peerText), [
    "block:10.0.0.0/8",
    "block:fd00::/8",
    "{k8s:io.kubernetes.pod.namespace}",
  ]);
});

test("nodes are those with the labels, told apart once they are known", () => {
  const [rule] = egress({ to: [{ nodes: { matchLabels: { "kubernetes.io/os": "linux" } } }] });
  const requirements = [{ key: "k8s:kubernetes.io/os", operator: "In", values: ["linux"] }];
  assert.deepEqual(rule!.peers, []);
  assert.deepEqual(rule!.references, [
    { kind: "node", of: { selector: { requirements } }, field: "spec.egress[0].to[0].nodes" },
  ]);
});

test("protocols: a port, a range, a name whatever the protocol; none: everything", () => {
  const protocols = [
    { tcp: { destinationPort: { number: 80 } } },
    { udp: { destinationPort: { range: { start: 1, end: 65535 } } } },
    { sctp: { destinationPort: { number: 9003 } } },
    { destinationNamedPort: "web" },
  ];
  assert.deepEqual(egress({ protocols })[0]!.ports, [
    { proto: 6, first: 80, last: 80 },
    { proto: 17, first: 1, last: 65535 },
    { proto: 132, first: 9003, last: 9003 },
    { proto: 0, first: 0, last: 0, name: "web" },
  ]);
  assert.equal(egress({})[0]!.ports, undefined);
});

const many = Array.from({ length: 26 }, () => ({ action: "Deny", to: [anyPod] }));
const tcp = (destinationPort: object) => ({ protocols: [{ tcp: { destinationPort } }] });

/** What is wrong, and what is said of it. */
const malformed: readonly (readonly [object, RegExp])[] = [
  [{ tier: "Normal" }, /spec\.tier: "Normal" is not one of Admin, Baseline$/],
  [{ tier: undefined }, /spec\.tier: is required$/],
  [{ priority: 1001 }, /spec\.priority: is over the limit of 1000$/],
  [{ priority: -1 }, /spec\.priority: is under the least of 0$/],
  [{ priority: 1.5 }, /spec\.priority: must be an integer/],
  [{ subject: {} }, /spec\.subject: needs namespaces or pods$/],
  [
    { subject: { namespaces: {}, pods: { podSelector: {} } } },
    /spec\.subject\.pods: can't stand beside namespaces$/,
  ],
  [{ subject: { pods: { namespaceSelector: {} } } }, /spec\.subject\.pods\.podSelector: is required$/],
  [{ egress: many }, /spec\.egress: is over the limit of 25$/],
  [{ egress: [{ action: "Allow", to: [anyPod] }] }, /spec\.egress\[0\]\.action: "Allow" is not one of/],
  [{ egress: [{ action: "Deny" }] }, /spec\.egress\[0\]\.to: is required$/],
  [{ egress: [{ action: "Deny", to: [] }] }, /spec\.egress\[0\]\.to: is under the least of 1$/],
  [{ ingress: [{ action: "Deny", from: [{ networks: ["::/0"] }] }] }, /from\[0\]\.networks: unknown field$/],
  [{ egress: [{ action: "Deny", to: [{ networks: [] }] }] }, /to\[0\]\.networks: is under the least of 1$/],
  [
    { egress: [{ action: "Deny", to: [{ networks: ["10.0.0.0"] }] }] },
    /networks\[0\]: "10.0.0.0" is not a CIDR/,
  ],
  [
    { egress: [{ action: "Deny", to: [{ networks: ["::/0", "::/0"] }] }] },
    /networks\[1\]: "::\/0" is there twice$/,
  ],
  [
    { egress: [{ action: "Deny", to: [{}] }] },
    /to\[0\]: needs namespaces, pods, nodes, networks or domainNames$/,
  ],
  [
    { egress: [{ action: "Deny", to: [anyPod], name: "x".repeat(101) }] },
    /egress\[0\]\.name: is over the limit of 100$/,
  ],
  [{ egress: [{ action: "Deny", to: [anyPod], protocols: [] }] }, /protocols: is under the least of 1$/],
  [
    { egress: [{ action: "Deny", to: [anyPod], ...tcp({}) }] },
    /tcp\.destinationPort: needs number or range$/,
  ],
  [
    { egress: [{ action: "Deny", to: [anyPod], protocols: [{ tcp: {} }] }] },
    /protocols\[0\]\.tcp: needs destinationPort$/,
  ],
  [
    { egress: [{ action: "Deny", to: [anyPod], ...tcp({ number: 0 }) }] },
    /destinationPort\.number: 0 is not a port$/,
  ],
  [
    { egress: [{ action: "Deny", to: [anyPod], ...tcp({ range: { start: 8, end: 8 } }) }] },
    /range\.end: 8 is not more than start, 8$/,
  ],
  [
    { egress: [{ action: "Deny", to: [{ domainNames: ["example.com"] }] }] },
    /to\[0\]\.domainNames: is for rules with action Accept alone$/,
  ],
  [
    { egress: [{ action: "Accept", to: [{ domainNames: ["*"] }] }] },
    /domainNames\[0\]: "\*" is not a domain name$/,
  ],
  [
    {
      egress: [
        {
          action: "Deny",
          to: [anyPod, { networks: ["::/0"] }],
          protocols: [{ destinationNamedPort: "web" }],
        },
      ],
    },
    /protocols\[0\]\.destinationNamedPort: can't stand beside to\[1\]\.networks, whose ports have no names$/,
  ],
];

test("what is malformed is named with its place", () => {
  for (const [spec, message] of malformed) {
    assert.throws(
      () => compile(spec),
      (error) => error instanceof WeftError && error.code === "E_MANIFEST" && message.test(error.message),
      String(message),
    );
  }
});

test("what needs a DNS proxy, and labels that identities lack, refuse the policy as a whole", () => {
  const names = [{ domainNames: ["*.example.com"] }];
  assert.throws(() => egress({}, { action: "Accept", to: names }), {
    code: "E_POLICY_UNSUPPORTED",
    message: /^ClusterNetworkPolicy p: spec\.egress\[1\]\.to\[0\]\.domainNames: needs the DNS proxy/,
  });
  const hash = { podSelector: { matchLabels: { "pod-template-hash": "x" } } };
  assert.throws(() => egress({ to: [{ pods: hash }] }), { code: "E_POLICY_UNSUPPORTED" });
});
