// SPDX-License-Identifier: Apache-2.0
/** Policies that change under traffic: no packet is judged by half of a change, and what is open follows it. */
import assert from "node:assert/strict";
import { after, before, describe, it, test } from "node:test";
import type { Identity } from "#identities/identity.ts";
import { Action, at, type Outcome, type PodFields, TestNode } from "#kit/datapath.ts";
import { buildPacket, Proto, Tcp } from "#kit/packet.ts";
import { startTraffic } from "#kit/policy-traffic.ts";
import { systemClock } from "#lib/clock.ts";
import { parseLabels } from "#model/labels.ts";
import { KernelPolicies } from "#policy/ops.ts";
import { IdentityIndex } from "#policy/peer-index.ts";
import { resolve } from "#policy/resolve.ts";
import type { PortRange, ResolvedPolicy, Rule } from "#policy/rule.ts";
import { RuleIds } from "#policy/rule-ids.ts";

const policyId = 60;
const clientId = 1001;
const ruleIds = new RuleIds();

const labelled = (id: number, app: string): Identity => ({ id, labels: parseLabels([`k8s:app=${app}`]) });

function rule(index: number, fields: Partial<Rule>): Rule {
  return {
    origin: { kind: "Test", namespace: "", name: "policy", uid: "", index },
    subject: { requirements: [] },
    direction: "ingress",
    tier: "normal",
    priority: 0,
    action: "allow",
    peers: undefined,
    ports: undefined,
    defaultDeny: true,
    ...fields,
  };
}

const tcp = (first: number, last = first): PortRange => ({ proto: 6, first, last });
const from = (app: string): Rule["peers"] => [
  { kind: "selector", selector: { requirements: [{ key: "k8s:app", operator: "In", values: [app] }] } },
];

function policyOf(rules: readonly Rule[], others: readonly Identity[] = []): ResolvedPolicy {
  const peers = new IdentityIndex();
  for (const identity of [labelled(clientId, "client"), ...others]) peers.put(identity);
  const ruleId = ruleIds.idOf.bind(ruleIds);
  return resolve({ id: policyId, rules, peers, ports: [], ruleId, enforcement: "default" });
}

/** The client may reach port 80 and never 81, each time for another reason. */
function variants(): ResolvedPolicy[] {
  const [client, others] = [
    from("client"),
    Array.from({ length: 40 }, (_, i) => labelled(2000 + i, "other")),
  ];
  return [
    policyOf([rule(0, { peers: client, ports: [tcp(80)] })]),
    policyOf([rule(0, { ports: [tcp(1, 80)] })]),
    policyOf([rule(0, { peers: client }), rule(1, { action: "deny", ports: [tcp(81)] })]),
    policyOf([rule(0, { peers: client, ports: [tcp(80)] }), rule(1, { peers: from("other") })], others),
    policyOf(
      [rule(0, { peers: client, ports: [tcp(80)] }), rule(1, { peers: from("other") })],
      others.slice(20),
    ),
    policyOf([
      rule(0, { peers: client, ports: [tcp(80), tcp(90, 300)] }),
      rule(1, { direction: "egress", defaultDeny: true }),
    ]),
    policyOf([
      rule(0, { defaultDeny: false }),
      rule(1, { peers: client, action: "deny", ports: [tcp(81, 90)] }),
    ]),
    policyOf([
      rule(0, { tier: "admin", action: "pass", peers: client, ports: [tcp(80, 200)], defaultDeny: false }),
      rule(1, { peers: client, ports: [tcp(64, 80)] }),
    ]),
  ];
}

/** A pod's policy as the agent changes it: the map, then the pod's rows. */
function writer(node: TestNode) {
  const kernel = new KernelPolicies(node.map("policies"), systemClock);
  return (pod: PodFields, policy: ResolvedPolicy) => {
    assert.deepEqual([...kernel.update(new Map([[String(policyId), policy]]))!], []);
    const enforce = [
      ...(policy.enforceIngress ? ["ingress" as const] : []),
      ...(policy.enforceEgress ? ["egress" as const] : []),
    ];
    return node.pod({ ...pod, policy: policyId, revision: policy.revision, enforce });
  };
}

test("a thousand changes under traffic: no leak, no false drop, nothing that is open is cut", async () => {
  using node = TestNode.create("change", { routing: "tunnel" });
  const client = node.pod({ id: 1, v4: "10.0.1.2", identity: clientId });
  let server = node.pod({ id: 2, v4: "10.0.1.3", identity: 1002 });
  const write = writer(node);
  const all = variants();
  server = write(server, all[0]!);
  const probe = { from: "10.0.1.2", to: "10.0.1.3", ifindex: node.podIfindex(client) };
  const traffic = startTraffic({
    program: node.program("from_pod").info().id,
    netns: node.netns,
    probes: [
      { ...probe, dport: 80, fresh: true, wanted: Action.redirect },
      { ...probe, dport: 81, fresh: true, wanted: Action.drop },
      { ...probe, dport: 80, fresh: false, wanted: Action.redirect },
    ],
  });
  let results: Awaited<ReturnType<typeof traffic.stop>>;
  try {
    let state = 1;
    for (let change = 0; change < 1000; change++) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      server = write(server, all[(state >>> 16) % all.length]!);
    }
    // A slow machine may not have begun to send: it is waited for, with a bound of its own.
    const deadlineMs = performance.now() + 30_000;
    while (traffic.rounds() < 100 && performance.now() < deadlineMs) {
      server = write(server, all[traffic.rounds() % all.length]!);
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    results = await traffic.stop();
  }
  assert.deepEqual(
    results.map(({ wrong }) => wrong),
    [[], [], []],
  );
  assert.ok(results.every(({ sent }) => sent > 100));
});

for (const name of ["v4", "v6"] as const) {
  const net =
    name === "v4"
      ? { ...at.v4, a: "10.0.1.2", b: "10.0.1.3", remote: "10.0.2.5", vip: "10.96.0.10", bits: "/32" }
      : {
          ...at.v6,
          a: "fd00:10:0:1::2",
          b: "fd00:10:0:1::3",
          remote: "fd00:10:0:2::5",
          vip: "fd00:96::10",
          bits: "/128",
        };

  describe(`what is open follows the policy, ${name}`, () => {
    let node: TestNode;
    let a: PodFields;
    let b: PodFields;

    before(() => {
      node = TestNode.create(`open${name}`, { routing: "tunnel" });
      a = node.pod({ id: 1, [name]: net.a, identity: clientId });
      b = node.pod({ id: 2, [name]: net.b, identity: 1002 });
      node.identify(`${net.remote}${net.bits}`, clientId, at.v4.otherNode);
      node.service({
        id: 7,
        address: net.vip,
        port: 80,
        proto: Proto.tcp,
        backends: [{ id: 70, address: net.b, port: 8080 }],
      });
      node.service({
        id: 8,
        address: net.vip,
        port: 81,
        proto: Proto.tcp,
        backends: [{ id: 71, address: net.b, port: 80 }],
      });
      node.service({
        id: 9,
        address: net.vip,
        port: 82,
        proto: Proto.tcp,
        backends: [{ id: 72, address: net.a, port: 8080 }],
      });
    });
    after(() => node[Symbol.dispose]());

    const packet = (ends: readonly [string, string], ports: readonly [number, number], flags?: number) =>
      buildPacket({
        from: ends[0],
        to: ends[1],
        transport:
          flags === undefined
            ? { kind: "udp", sport: ports[0], dport: ports[1] }
            : { kind: "tcp", sport: ports[0], dport: ports[1], flags },
      });
    const echo = (ends: readonly [string, string], reply: boolean) =>
      buildPacket({ from: ends[0], to: ends[1], transport: { kind: "echo", id: 77, reply } });

    /** Flows of every kind between a pod elsewhere, a and b: how each sends on, and how it is answered. */
    const flows: Readonly<Record<string, readonly [forth: () => Outcome, back: () => Outcome]>> = {
      "TCP of one node": [
        () => node.fromPod(a, packet([net.a, net.b], [30_001, 80], Tcp.ack)),
        () => node.fromPod(b, packet([net.b, net.a], [80, 30_001], Tcp.ack)),
      ],
      "UDP of one node": [
        () => node.fromPod(a, packet([net.a, net.b], [30_002, 53])),
        () => node.fromPod(b, packet([net.b, net.a], [53, 30_002])),
      ],
      ping: [
        () => node.fromPod(a, echo([net.a, net.b], false)),
        () => node.fromPod(b, echo([net.b, net.a], true)),
      ],
      "TCP through a service": [
        () => node.fromPod(a, packet([net.a, net.vip], [30_003, 80], Tcp.ack)),
        () => node.fromPod(b, packet([net.b, net.a], [8080, 30_003], Tcp.ack)),
      ],
      "TCP from another node": [
        () => node.fromOverlay(packet([net.remote, net.b], [30_004, 80], Tcp.ack), clientId),
        () => node.fromPod(b, packet([net.b, net.remote], [80, 30_004], Tcp.ack)),
      ],
    };
    const allowed = () => policyOf([rule(0, { peers: from("client") })]);
    const denied = () => policyOf([rule(0, { peers: from("nobody") })]);

    it("put in place and taken away a hundred times under the same flows", () => {
      const write = writer(node);
      for (let round = 0; round < 100; round++) {
        const allow = round % 2 === 0;
        b = write(b, allow ? allowed() : denied());
        for (const [flow, [forth, back]] of Object.entries(flows)) {
          for (const [way, send] of [
            ["forth", forth],
            ["back", back],
          ] as const) {
            const { action } = send();
            assert.equal(action !== Action.drop, allow, `${flow}, ${way}, round ${round}`);
          }
        }
      }
    });

    it("is judged again when the entries change before the pod's row says so, and change back at once", () => {
      const write = writer(node);
      const opened = policyOf([rule(0, { peers: from("client"), ports: [tcp(443)] })]);
      b = write(b, denied());
      const kernel = new KernelPolicies(node.map("policies"), systemClock);
      const open = () => node.fromPod(a, packet([net.a, net.b], [30_009, 443], Tcp.syn)).action;
      assert.equal(open(), Action.drop);
      kernel.update(new Map([[String(policyId), opened]]));
      assert.equal(open(), Action.redirect, "the map is in force at once");
      kernel.update(new Map([[String(policyId), denied()]]));
      assert.equal(open(), Action.drop, "what was let through meanwhile is judged again");
    });

    it("a direction that is enforced no longer drops nothing while the pod's row is the old one", () => {
      const write = writer(node);
      const both = policyOf([
        rule(0, { peers: from("client") }),
        rule(1, { direction: "egress", defaultDeny: true }),
      ]);
      b = write(b, both);
      const kernel = new KernelPolicies(node.map("policies"), systemClock);
      kernel.update(new Map([[String(policyId), denied()]]));
      assert.equal(node.fromPod(b, packet([net.b, net.a], [30_010, 80], Tcp.syn)).action, Action.redirect);
    });

    it("a pod that reaches itself is never denied", () => {
      const write = writer(node);
      const hairpin = () => node.fromPod(a, packet([net.a, net.vip], [30_011, 82], Tcp.ack)).action;
      for (const policy of [denied(), allowed(), denied()]) {
        a = write(a, policy);
        assert.equal(hairpin(), Action.redirect);
      }
    });
  });
}
