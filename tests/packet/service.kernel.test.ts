// SPDX-License-Identifier: Apache-2.0
/** What a service's packets meet when it changes: policies for the outside, backends that go, one client port for two services. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { DropReason, LbFlag, LbScope } from "#datapath/layouts/enums.ts";
import { lbBackendLayout } from "#datapath/layouts/lb-backend.ts";
import { lbBackendKeyLayout } from "#datapath/layouts/lb-backend-key.ts";
import { lbReverseLayout } from "#datapath/layouts/lb-reverse.ts";
import { lbReverseKeyLayout } from "#datapath/layouts/lb-reverse-key.ts";
import { lbSourceRangeLayout } from "#datapath/layouts/lb-source-range.ts";
import { lbSourceRangeKeyLayout } from "#datapath/layouts/lb-source-range-key.ts";
import { Action, at, type PodFields, type ServiceFields, TestNode } from "#kit/datapath.ts";
import { buildPacket, Proto, Tcp } from "#kit/packet.ts";
import { parseAddress } from "#model/ip.ts";

const families = {
  v4: {
    pod: "10.0.1.2",
    client: "10.0.1.3",
    remotes: ["10.0.2.5", "10.0.2.6"],
    pods: "/32",
    vips: ["10.96.0.10", "10.96.0.11"],
    outside: "198.51.100.9",
  },
  v6: {
    pod: "fd00:10:0:1::2",
    client: "fd00:10:0:1::3",
    remotes: ["fd00:10:0:2::5", "fd00:10:0:2::6"],
    pods: "/128",
    vips: ["fd00:96::10", "fd00:96::11"],
    outside: "2001:db8:9::9",
  },
} as const;

for (const name of ["v4", "v6"] as const) {
  const net = { ...families[name], ...at[name] };
  const [near, [far, farther]] = [net.pod, net.remotes];

  describe(`services that change, ${name}`, () => {
    let node: TestNode;
    let server: PodFields;
    let client: PodFields;
    let port = 20_000;

    before(() => {
      node = TestNode.create(`service${name}`, { routing: "tunnel" });
      server = node.pod({ id: 1, [name]: near, identity: 1001 });
      client = node.pod({ id: 2, [name]: net.client, identity: 1002 });
      for (const remote of net.remotes) node.identify(`${remote}${net.pods}`, 2005, at.v4.otherNode);
    });
    after(() => node[Symbol.dispose]());

    const packet = (
      from: string,
      to: string,
      [sport, dport]: readonly [number, number],
      kind: "tcp" | "udp",
    ) =>
      buildPacket({
        from,
        to,
        transport: kind === "tcp" ? { kind, sport, dport, flags: Tcp.syn } : { kind, sport, dport },
      });
    const backends = (...list: readonly (readonly [number, string])[]): ServiceFields["backends"] =>
      list.map(([id, address]) => ({ id, address, port: 8080 }));

    it("leads who comes from outside to the node's own pods where the policy is Local, who is inside to any", () => {
      const nodePort = { address: net.node, port: 30_080, proto: Proto.tcp, type: "NodePort" } as const;
      const local = { ...nodePort, scope: LbScope.local, backends: backends([100, near]) };
      node.service({ ...nodePort, id: 11, flags: LbFlag.localOutside, backends: backends([101, far]) });
      // Between the two writes of one service: as if the policy were still Cluster.
      const early = node.fromDevice(packet(net.outside, net.node, [++port, 30_080], "tcp"));
      assert.equal(early.packet.destination, far);
      node.service({ ...local, id: 10 });
      for (let i = 0; i < 8; i++) {
        const sport = ++port;
        const out = node.fromDevice(packet(net.outside, net.node, [sport, 30_080], "tcp"));
        assert.deepEqual(
          [out.action, out.packet.source, out.packet.destination],
          [Action.redirect, net.outside, near],
        );
        const answer = node.fromPod(server, packet(near, net.outside, [8080, sport], "tcp"));
        assert.deepEqual([answer.packet.source, answer.packet.sport], [net.node, 30_080]);
        const inside = node.fromPod(client, packet(net.client, net.node, [++port, 30_080], "tcp"));
        assert.equal(inside.packet.destination, far);
      }
    });

    it("keeps to the clients a load balancer's address is for", () => {
      const [vip] = net.vips;
      const fields = { id: 50, address: vip, port: 443, proto: Proto.tcp, type: "NodePort" } as const;
      node.service({ ...fields, flags: LbFlag.sourceRanges, backends: backends([500, near]) });
      const ranges = node.typed("lb_source_ranges", lbSourceRangeKeyLayout, lbSourceRangeLayout);
      const ask = () => [
        node.fromPod(client, packet(net.client, vip, [++port, 443], "tcp")),
        node.fromDevice(packet(net.outside, vip, [++port, 443], "tcp")),
      ];
      for (const [who, address] of [net.client, net.outside].entries()) {
        const prefixlen = 32 + 128;
        ranges.set({ prefixlen, frontend: 50, addr: parseAddress(address) }, { allowed: 1 });
        const [may, mayNot] = [ask()[who]!, ask()[1 - who]!];
        assert.equal(may.packet.destination, near);
        assert.deepEqual(
          [mayNot.action, mayNot.events[0]?.reason],
          [Action.drop, DropReason.deniedByLbSrcRangeCheck],
        );
        ranges.delete({ prefixlen, frontend: 50, addr: parseAddress(address) });
      }
    });

    it("leads datagrams on to another backend at once when theirs is gone, and its answers back", () => {
      const fields = { id: 20, address: net.node, port: 30_081, proto: Proto.udp, type: "NodePort" } as const;
      node.service({ ...fields, backends: backends([200, far]) });
      const sport = ++port;
      const ask = () => node.fromDevice(packet(net.outside, net.node, [sport, 30_081], "udp"));
      const first = ask();
      assert.equal(first.packet.destination, far);
      node.service({ ...fields, backends: backends([201, farther]) });
      node.typed("lb_backends", lbBackendKeyLayout, lbBackendLayout).delete({ id: 200 });
      const second = ask();
      assert.equal(second.packet.destination, farther);
      const answer = packet(farther, second.packet.source, [8080, second.packet.sport], "udp");
      const out = node.fromOverlay(answer, 2005);
      assert.equal(out.action, Action.redirect);
      assert.deepEqual(
        [out.packet.source, out.packet.sport, out.packet.destination, out.packet.dport],
        [net.node, 30_081, net.outside, sport],
      );
    });

    it("answers a client port that asked the service before it was made anew, the backend the same", () => {
      const fields = { address: net.node, port: 30_082, proto: Proto.tcp, type: "NodePort" } as const;
      const sport = ++port;
      const ask = () => node.fromDevice(packet(net.outside, net.node, [sport, 30_082], "tcp"));
      for (const id of [60, 61]) {
        node.service({ ...fields, id, backends: backends([600, far]) });
        const asked = ask();
        assert.equal(asked.packet.destination, far);
        const answer = packet(far, asked.packet.source, [8080, asked.packet.sport], "tcp");
        const out = node.fromOverlay(answer, 2005);
        assert.equal(out.action, Action.redirect);
        assert.deepEqual(
          [out.packet.source, out.packet.sport, out.packet.destination, out.packet.dport],
          [net.node, 30_082, net.outside, sport],
        );
        node.typed("lb_reverse", lbReverseKeyLayout, lbReverseLayout).delete({ frontend: id });
      }
    });

    it("shows in answers the service that was asked last, when one client port asks one backend by several", () => {
      const [one, two] = net.vips;
      node.service({ id: 30, address: one, port: 53, proto: Proto.udp, backends: backends([300, near]) });
      node.service({ id: 31, address: two, port: 53, proto: Proto.udp, backends: backends([300, near]) });
      const sport = ++port;
      for (const asked of [one, two, one, near, two]) {
        const dport = asked === near ? 8080 : 53;
        const out = node.fromPod(client, packet(net.client, asked, [sport, dport], "udp"));
        assert.equal(out.packet.destination, near);
        const answer = node.fromPod(server, packet(near, net.client, [8080, sport], "udp"));
        assert.deepEqual([answer.packet.source, answer.packet.sport], [asked, dport]);
      }
    });

    it("keeps a client with its backend when that moves to another slot, and no longer than the service says", () => {
      const fields = { id: 40, address: net.vips[0], port: 80, proto: Proto.tcp, affinitySec: 100 };
      const all = [near, far, farther].map((address, i) => [400 + i, address] as const);
      node.service({ ...fields, backends: backends(...all) });
      const reached = () =>
        node.fromPod(client, packet(net.client, net.vips[0], [++port, 80], "tcp")).packet.destination;
      const mine = reached();
      for (let i = 0; i < 8; i++) assert.equal(reached(), mine);
      const others = all.filter(([, address]) => address !== mine);
      const bound = all.find(([, address]) => address === mine)!;
      for (const slots of [
        [bound, ...others],
        [...others, bound],
        [others[0]!, bound],
      ]) {
        node.service({ ...fields, backends: backends(...slots) });
        for (let i = 0; i < 4; i++) assert.equal(reached(), mine);
      }
      node.service({ ...fields, affinitySec: 0, backends: backends(...all) });
      assert.ok(new Set(Array.from({ length: 40 }, reached)).size > 1);
    });
  });
}
