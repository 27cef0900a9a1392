// SPDX-License-Identifier: Apache-2.0
/** A flood of drops alike is told in part and counted whole, and hides no other drop. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { DropReason } from "#datapath/layouts/enums.ts";
import { Action, type PodFields, TestNode } from "#kit/datapath.ts";
import { buildPacket, Proto, Tcp } from "#kit/packet.ts";

const toldPerSecond = 100;

describe("drops", () => {
  let node: TestNode;
  let a: PodFields;
  before(() => {
    node = TestNode.create("drops", { routing: "tunnel" });
    node.policy(41, []);
    a = node.pod({ id: 1, v4: "10.0.1.2", identity: 1001, policy: 41, enforce: ["egress"] });
    node.pod({ id: 2, v4: "10.0.1.3", identity: 1002 });
  });
  after(() => node[Symbol.dispose]());

  const denied = (dport: number, sport: number) => {
    const transport = { kind: "tcp", sport, dport, flags: Tcp.syn } as const;
    const out = node.fromPod(a, buildPacket({ from: "10.0.1.2", to: "10.0.1.3", transport }));
    assert.equal(out.action, Action.drop);
    for (const event of out.events) assert.equal(event.reason, DropReason.policyDenied);
    return out.events;
  };

  it("alike are told a hundred times a second, and later how many there were", () => {
    let sent = 0;
    const told = [];
    while (sent < 5 * toldPerSecond) told.push(...denied(80, ++sent));
    assert.ok(told.length >= toldPerSecond && told.length < sent, `${told.length} of ${sent} told`);
    assert.equal(denied(81, 1).length, 1, "another port's");
    let accounted = told.reduce((sum, { untold }) => sum + 1 + untold, 0);
    for (const deadlineMs = Date.now() + 5_000; accounted < sent; ) {
      assert.ok(Date.now() < deadlineMs, `${accounted} of ${sent} accounted for`);
      sent++;
      for (const { untold } of denied(80, sent)) accounted += 1 + untold;
    }
    assert.equal(accounted, sent);
  });

  it("are told of every service without a backend", () => {
    for (let port = 1; port <= 3 * toldPerSecond; port++) {
      node.service({ id: port, address: "10.96.0.9", port, proto: Proto.udp, backends: [] });
      const transport = { kind: "udp", sport: 1, dport: port } as const;
      const out = node.fromPod(a, buildPacket({ from: "10.0.1.2", to: "10.96.0.9", transport }));
      assert.equal(out.events[0]?.reason, DropReason.serviceBackendNotFound);
    }
  });
});
