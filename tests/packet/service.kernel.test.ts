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
import { u32Layout, u64Layout } from "#kernel/bpf/typed-map.ts";
import { Action, at, type PodFields, TestNode } from "#kit/datapath.ts";
import { barePacket, buildPacket, Proto, Tcp } from "#kit/packet.ts";
import type { ServiceFields } from "#kit/service-entries.ts";
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

    it("turns those away whom the ranges name, where they are those that may not ask", () => {
      const [vip] = net.vips;
      const fields = { id: 51, address: vip, port: 444, proto: Proto.tcp, type: "NodePort" } as const;
      node.service({
        ...fields,
        flags: LbFlag.sourceRanges | LbFlag.denyRanges,
        backends: backends([510, near]),
      });
      node
        .typed("lb_source_ranges", lbSourceRangeKeyLayout, lbSourceRangeLayout)
        .set({ prefixlen: 32 + 128, frontend: 51, addr: parseAddress(net.outside) }, { allowed: 1 });
      const denied = node.fromDevice(packet(net.outside, vip, [++port, 444], "tcp"));
      assert.equal(denied.events[0]?.reason, DropReason.deniedByLbSrcRangeCheck);
      const may = node.fromPod(client, packet(net.client, vip, [++port, 444], "tcp"));
      assert.equal(may.packet.destination, near);
    });

    it("passes on pods that a redirect is not for: to what is beside it, or to the address itself", () => {
      const [vip] = net.vips;
      const fields = { address: vip, port: 445, proto: Proto.tcp, type: "ClusterIP" } as const;
      const flags = LbFlag.sourceRanges | LbFlag.denyRanges | LbFlag.passDenied;
      node.service({ ...fields, id: 52, flags, backends: backends([520, near]) });
      const asks = () =>
        node.fromPod(client, packet(net.client, vip, [++port, 445], "tcp")).packet.destination;
      assert.equal(asks(), near);
      node
        .typed("lb_source_ranges", lbSourceRangeKeyLayout, lbSourceRangeLayout)
        .set({ prefixlen: 32 + 128, frontend: 52, addr: parseAddress(net.client) }, { allowed: 1 });
      assert.equal(asks(), vip);
      node.service({ ...fields, id: 53, scope: LbScope.local, backends: backends([530, far]) });
      assert.equal(asks(), far);
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

    it("tells two services apart that lead one client port to one backend at once, and their answers", () => {
      const [one, two] = net.vips;
      for (const kind of ["udp", "tcp"] as const) {
        const proto = Proto[kind];
        node.service({ id: 30, address: one, port: 53, proto, backends: backends([300, near]) });
        node.service({ id: 31, address: two, port: 53, proto, backends: backends([300, near]) });
        const sport = ++port;
        const ask = (vip: string) => {
          const out = node.fromPod(client, packet(net.client, vip, [sport, 53], kind));
          assert.deepEqual([out.packet.source, out.packet.destination], [net.client, near]);
          return out.packet.sport;
        };
        const ports = [ask(one), ask(two)];
        assert.equal(ports[0], sport);
        assert.ok(ports[1]! >= 61_000);
        for (const round of [1, 0, 0, 1]) {
          const vip = [one, two][round]!;
          const answer = node.fromPod(server, packet(near, net.client, [8080, ports[round]!], kind));
          assert.deepEqual([answer.packet.source, answer.packet.sport], [vip, 53]);
          assert.deepEqual([answer.packet.destination, answer.packet.dport], [net.client, sport]);
          assert.equal(ask(vip), ports[round], "one port as long as the connection lasts");
        }
      }
    });

    it("does so for clients from outside, and shows them errors about what they sent", () => {
      const frontend = { address: net.node, proto: Proto.udp, type: "NodePort" } as const;
      for (const n of [0, 1])
        node.service({ ...frontend, id: 34 + n, port: 30_090 + n, backends: backends([340, near]) });
      const sport = ++port;
      const ask = (dport: number) => node.fromDevice(packet(net.outside, net.node, [sport, dport], "udp"));
      const asked = [ask(30_090), ask(30_091)];
      assert.equal(asked[0]!.packet.sport, sport);
      assert.notEqual(asked[1]!.packet.sport, sport);
      const failed = { kind: "udp", sport: asked[1]!.packet.sport, dport: 8080 } as const;
      const about = barePacket({ from: net.outside, to: near, transport: failed });
      const v6 = name === "v6";
      const kind = { kind: "error", type: v6 ? 1 : 3, code: v6 ? 4 : 3, word: 0, about } as const;
      const error = node.fromPod(server, buildPacket({ from: near, to: net.outside, transport: kind }));
      assert.equal(error.action, Action.redirect);
      const carried = error.packet.about;
      assert.deepEqual(
        [error.packet.source, carried?.source, carried?.sport, carried?.destination, carried?.dport],
        [net.node, net.outside, sport, net.node, 30_091],
      );
    });

    it("gives a client port to a service that takes over where another one ended or is no more", () => {
      const [one, two] = net.vips;
      for (const [id, address] of [
        [36, one],
        [37, two],
      ] as const)
        node.service({ id, address, port: 54, proto: Proto.udp, backends: backends([360, near]) });
      const sport = ++port;
      const ask = (vip: string) =>
        node.fromPod(client, packet(net.client, vip, [sport, 54], "udp")).packet.sport;
      assert.equal(ask(one), sport);
      node.typed("lb_reverse", lbReverseKeyLayout, lbReverseLayout).delete({ frontend: 36 });
      assert.equal(ask(two), sport);
    });

    it("chooses by the connection's hash from a table, and the same for the same connection on whatever address", () => {
      const table = Array.from({ length: 37 }, (_, at) => (at % 4 === 0 ? 801 : 800));
      const fields = { proto: Proto.udp, type: "NodePort", flags: LbFlag.hashed } as const;
      const both = backends([800, near], [801, far]);
      for (const [id, address] of [
        [80, net.node],
        [81, net.vips[0]],
      ] as const)
        node.service({ ...fields, id, address, port: 30_095, backends: both, table });
      const reached = (to: string, sport: number) =>
        node.fromDevice(packet(net.outside, to, [sport, 30_095], "udp")).packet.destination;
      const seen = Array.from({ length: 60 }, () => {
        const sport = ++port;
        const first = reached(net.node, sport);
        assert.equal(reached(net.vips[0], sport), first);
        return first;
      });
      const share = seen.filter((address) => address === far).length;
      assert.ok(share > 2 && share < 32, `${share} of 60`);
    });

    it("weighs backends by a table, and falls back to any where the table has a gap or is not there", () => {
      const fields = { id: 85, address: net.vips[1], port: 90, proto: Proto.udp } as const;
      const both = backends([850, near], [851, far]);
      const reached = () =>
        node.fromPod(client, packet(net.client, net.vips[1], [++port, 90], "udp")).packet.destination;
      const seen = () => new Set(Array.from({ length: 40 }, reached));
      node.service({ ...fields, backends: both, table: [851, 851, 851] });
      assert.deepEqual([...seen()], [far]);
      node.service({ ...fields, backends: both, table: [0, 0] });
      assert.equal(seen().size, 2);
      node.typed("lb_tables", u64Layout, u32Layout).delete(85n);
      assert.equal(seen().size, 2);
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
