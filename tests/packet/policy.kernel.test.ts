// SPDX-License-Identifier: Apache-2.0
/** Conntrack and policy over a connection's life: denial, audit, a policy that changes under it, closing, reopening. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { CtFlag, DropReason, EventFlag, EventType, TraceReason } from "#datapath/layouts/enums.ts";
import { metricLayout } from "#datapath/layouts/metric.ts";
import { perCpu, u32Layout } from "#kernel/bpf/typed-map.ts";
import { Action, at, type PodFields, TestNode } from "#kit/datapath.ts";
import { buildPacket, Tcp } from "#kit/packet.ts";
import type { PolicyEntry } from "#policy/rule.ts";

const families = {
  v4: { a: "10.0.1.2", b: "10.0.1.3", remote: "10.0.2.5" },
  v6: { a: "fd00:10:0:1::2", b: "fd00:10:0:1::3", remote: "fd00:10:0:2::5" },
} as const;

const POLICY = 60;
const A = 1001;

const allow = (fields: Partial<PolicyEntry>): PolicyEntry => ({
  direction: "ingress",
  identity: A,
  proto: 6,
  portBits: 16,
  port: 80,
  verdict: "allow",
  precedence: 101,
  rule: 900,
  ...fields,
});

for (const name of ["v4", "v6"] as const) {
  const net = { ...families[name], ...at[name] };

  describe(`a connection under policy, ${name}`, () => {
    let node: TestNode;
    let a: PodFields;
    let b: PodFields;
    let sport = 20_000;
    let revision = 1;

    before(() => {
      node = TestNode.create(`policy${name}`, { routing: "tunnel", config: { eventIntervalSec: 3600 } });
    });
    after(() => node[Symbol.dispose]());
    beforeEach(() => {
      sport++;
      a = node.pod({ id: 1, [name]: net.a, identity: A });
      b = node.pod({ id: 2, [name]: net.b, identity: 1002 });
      judgeB([]);
    });

    /** The server's policy from now on. */
    const judgeB = (entries: readonly PolicyEntry[], fields: Partial<PodFields> = {}) => {
      revision++;
      node.policy(POLICY, entries);
      b = node.pod({ ...b, policy: POLICY, revision, enforce: ["ingress"], ...fields });
    };
    const open = (flags: number = Tcp.syn) =>
      node.fromPod(
        a,
        buildPacket({ from: net.a, to: net.b, transport: { kind: "tcp", sport, dport: 80, flags } }),
      );
    const answer = (flags: number) =>
      node.fromPod(
        b,
        buildPacket({ from: net.b, to: net.a, transport: { kind: "tcp", sport: 80, dport: sport, flags } }),
      );
    const establish = () => {
      for (const outcome of [open(), answer(Tcp.syn | Tcp.ack), open(Tcp.ack)])
        assert.equal(outcome.action, Action.redirect);
    };
    const entry = () =>
      [...node.conntrack.entries()].find(([key]) => key.lowPort === sport || key.highPort === sport)?.[1];
    const dropped = (reason: number) => {
      const metrics = node.typed("metrics", u32Layout, perCpu(metricLayout));
      return metrics.get(256 + reason)?.reduce((sum, { packets }) => sum + Number(packets), 0) ?? 0;
    };

    it("is denied where nothing allows it, and leaves no entry", () => {
      const out = open();
      assert.equal(out.action, Action.drop);
      const [event] = out.events;
      assert.equal(event?.type, EventType.drop);
      assert.equal(event?.reason, DropReason.policyDenied);
      assert.ok(event && event.flags & EventFlag.ingress && !(event.flags & EventFlag.explicitDeny));
      assert.deepEqual([event?.egressRule, event?.ingressRule], [0, 0]);
      assert.ok((event?.line ?? 0) > 0);
      assert.equal(entry(), undefined);
    });

    it("names the rule that denied it, and the isolation that did", () => {
      judgeB([allow({ verdict: "deny", rule: 901 })]);
      const [event] = open().events;
      assert.equal(event?.reason, DropReason.policyDeny);
      assert.ok(event && event.flags & EventFlag.explicitDeny);
      assert.equal(event?.ingressRule, 901);
      judgeB([
        allow({ identity: 0, proto: 0, portBits: 0, port: 0, verdict: "deny", precedence: 2, rule: 902 }),
      ]);
      const [isolated] = open().events;
      assert.equal(isolated?.reason, DropReason.policyDenied);
      assert.equal(isolated?.ingressRule, 902);
    });

    it("is allowed by its rule, answers included", () => {
      judgeB([allow({})]);
      const out = open();
      assert.equal(out.action, Action.redirect);
      assert.equal(out.events[0]?.ingressRule, 900);
      assert.equal(answer(Tcp.syn | Tcp.ack).action, Action.redirect);
      assert.equal(entry()?.ingressRule, 900);
    });

    it("is judged at the sender first", () => {
      judgeB([allow({})]);
      node.policy(POLICY + 1, [allow({ direction: "egress", identity: 1002, verdict: "deny", rule: 903 })]);
      a = node.pod({ ...a, policy: POLICY + 1, revision: ++revision });
      const [event] = open().events;
      assert.equal(event?.reason, DropReason.policyDeny);
      assert.ok(event && !(event.flags & EventFlag.ingress));
      assert.deepEqual([event?.egressRule, event?.ingressRule], [903, 0]);
    });

    it("stops in both directions when the policy changes under it, and comes back", () => {
      judgeB([allow({})]);
      establish();
      judgeB([]);
      assert.equal(answer(Tcp.ack).action, Action.drop, "the answer stops too");
      const out = open(Tcp.ack);
      assert.equal(out.events[0]?.reason, DropReason.policyDenied);
      judgeB([allow({ rule: 910 })]);
      assert.equal(answer(Tcp.ack).action, Action.redirect);
      assert.equal(open(Tcp.ack).action, Action.redirect);
      assert.equal(entry()?.ingressRule, 910);
    });

    it("is not judged anew while nothing changed", () => {
      judgeB([allow({})]);
      establish();
      node.policy(POLICY, []); // the content, without a new revision
      assert.equal(open(Tcp.ack).action, Action.redirect);
    });

    it("is judged anew when the peer's identity changes", () => {
      judgeB([allow({})]);
      establish();
      a = node.pod({ ...a, identity: 1009 });
      assert.equal(open(Tcp.ack).action, Action.drop);
    });

    it("from another node is judged by the identity in the tunnel", () => {
      judgeB([allow({ identity: 2005 })]);
      const packet = (flags: number) =>
        buildPacket({ from: net.remote, to: net.b, transport: { kind: "tcp", sport, dport: 80, flags } });
      assert.equal(node.fromOverlay(packet(Tcp.syn), 2006).events[0]?.reason, DropReason.policyDenied);
      assert.equal(node.fromOverlay(packet(Tcp.syn), 2005).action, Action.redirect);
    });

    it("from a node through the tunnel is a remote node's", () => {
      judgeB([allow({ identity: 6 })]);
      const packet = buildPacket({
        from: net.otherRouter,
        to: net.b,
        transport: { kind: "tcp", sport, dport: 80, flags: Tcp.syn },
      });
      assert.equal(node.fromOverlay(packet, 1).action, Action.redirect);
    });

    it("under audit goes on and is reported", () => {
      judgeB([], { audit: true });
      const out = open();
      assert.equal(out.action, Action.redirect);
      assert.equal(out.events[0]?.type, EventType.verdict);
      assert.equal(out.events[0]?.reason, DropReason.policyDenied);
      assert.ok(out.events[0] && out.events[0].flags & EventFlag.audit);
      assert.equal(out.events[1]?.type, EventType.trace);
    });

    it("goes on and is reported once where the policy that denies is in audit", () => {
      const denied = { verdict: "deny", audit: true } as const;
      judgeB(
        [
          allow({ rule: 929 }),
          allow({ identity: 0, proto: 0, portBits: 0, port: 0, precedence: 2, rule: 930, ...denied }),
          allow({ rule: 931, ...denied }),
        ],
        { audits: true },
      );
      const out = open();
      assert.equal(out.action, Action.redirect);
      const [told, traced] = out.events;
      assert.deepEqual(
        [told?.type, told?.reason, told?.ingressRule, told?.egressRule],
        [EventType.verdict, DropReason.policyDeny, 931, 0],
      );
      assert.ok(told && told.flags & EventFlag.audit && told.flags & EventFlag.explicitDeny);
      assert.deepEqual([traced?.type, traced?.ingressRule], [EventType.trace, 0], "nothing has allowed it");
      assert.ok(traced && !(traced.flags & (EventFlag.audit | EventFlag.explicitDeny)));
      assert.deepEqual(
        [answer(Tcp.syn | Tcp.ack), open(Tcp.ack)].map(({ events }) =>
          events.filter(({ type }) => type === EventType.verdict),
        ),
        [[], []],
      );
      judgeB([allow({ verdict: "deny", rule: 932 })]);
      assert.equal(open(Tcp.ack).action, Action.drop, "enforced from now on");
    });

    it("is told at each end that only audits, each with its own rule", () => {
      const denied = { verdict: "deny", audit: true } as const;
      judgeB([allow({ rule: 940, ...denied })], { enforce: [], audits: true });
      node.policy(POLICY + 1, [allow({ direction: "egress", identity: 1002, rule: 941, ...denied })]);
      a = node.pod({ ...a, policy: POLICY + 1, revision: ++revision, audits: true });
      const { action, events } = open();
      assert.equal(action, Action.redirect);
      assert.deepEqual(
        events.map(({ type, egressRule, ingressRule }) => [type, egressRule, ingressRule]),
        [
          [EventType.verdict, 941, 0],
          [EventType.verdict, 0, 940],
          [EventType.trace, 0, 0],
        ],
      );
      judgeB([allow({ verdict: "deny", rule: 942 })]);
      sport++;
      assert.deepEqual(
        open().events.map(({ type, egressRule, ingressRule }) => [type, egressRule, ingressRule]),
        [
          [EventType.verdict, 941, 0],
          [EventType.drop, 0, 942],
        ],
      );
    });

    it("reports each change of state once, and closes", () => {
      judgeB([allow({})]);
      establish();
      assert.deepEqual(
        [open(Tcp.ack), answer(Tcp.ack), open(Tcp.fin | Tcp.ack)].map(({ events }) => events.length),
        [0, 0, 1],
      );
      const last = answer(Tcp.fin | Tcp.ack).events[0];
      assert.ok(last && last.flags & EventFlag.last && last.flags & EventFlag.reply);
      assert.equal(last?.packets, 3);
      assert.equal(open(Tcp.ack).events.length, 0);
      const closed = entry();
      assert.ok(closed && closed.flags & CtFlag.closing);
      assert.deepEqual([closed?.packets[0], closed?.packets[1]], [5, 3]);
    });

    it("begins anew with a SYN on a closing entry, and is judged", () => {
      judgeB([allow({})]);
      establish();
      assert.ok((open(Tcp.rst).events[0]?.flags ?? 0) & EventFlag.last);
      const again = open();
      assert.equal(again.events[0]?.reason, TraceReason.new);
      assert.equal(entry()?.packets[0], 1);
      open(Tcp.rst);
      node.policy(POLICY, []);
      assert.equal(open().action, Action.drop);
    });

    it("without an entry is judged in the middle", () => {
      judgeB([allow({})]);
      assert.equal(open(Tcp.ack | Tcp.psh).action, Action.redirect);
    });

    it("is counted when dropped", () => {
      const before = dropped(DropReason.policyDenied);
      open();
      assert.equal(dropped(DropReason.policyDenied), before + 1);
    });
  });
}
