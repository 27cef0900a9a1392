// SPDX-License-Identifier: Apache-2.0
/** A known flow takes the way its last packet found, and asks again as soon as something that way rests on has changed. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { DropReason, LbFlag } from "#datapath/layouts/enums.ts";
import { lbBackendLayout } from "#datapath/layouts/lb-backend.ts";
import { lbBackendKeyLayout } from "#datapath/layouts/lb-backend-key.ts";
import { lbFrontendLayout } from "#datapath/layouts/lb-frontend.ts";
import { lbFrontendKeyLayout } from "#datapath/layouts/lb-frontend-key.ts";
import { lbSourceRangeLayout } from "#datapath/layouts/lb-source-range.ts";
import { lbSourceRangeKeyLayout } from "#datapath/layouts/lb-source-range-key.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { typedMap } from "#kernel/bpf/typed-map.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { linkIndex } from "#kernel/netlink/link.ts";
import { replaceNeighbour } from "#kernel/netlink/neighbour.ts";
import { Action, at, type Outcome, TestNode, XdpAction } from "#kit/datapath.ts";
import { buildPacket, type PacketFields, Proto, readPacket, Tcp } from "#kit/packet.ts";
import { addressBytes, parseAddress } from "#model/ip.ts";

const families = {
  v4: { backends: ["10.0.2.5", "10.0.2.6"], bits: "/32", client: "198.51.100.9" },
  v6: { backends: ["fd00:10:0:2::5", "fd00:10:0:2::6"], bits: "/128", client: "2001:db8:9::9" },
} as const;
const PORT = 30_080;
const WRAPPING = 50;
const limitMs = 10_000;
const secondNs = 1_000_000_000n;
/** The coarse clock, which the programs read, is behind by so much at most. */
const coarseNs = 20_000_000n;

/** The scene again, until all of it was in one second. */
function inOneSecond(scene: () => void): void {
  const until = process.hrtime.bigint() + BigInt(limitMs) * 1_000_000n;
  while (process.hrtime.bigint() < until) {
    const start = process.hrtime.bigint();
    if (start % secondNs < coarseNs) continue;
    let thrown: unknown;
    try {
      scene();
    } catch (error) {
      thrown = error;
    }
    if (process.hrtime.bigint() / secondNs !== start / secondNs) continue;
    if (thrown !== undefined) throw thrown;
    return;
  }
  assert.fail("no second was long enough");
}

/** Again and again until it holds. */
function eventually(holds: () => boolean, what: string): void {
  const until = Date.now() + limitMs;
  while (!holds()) assert.ok(Date.now() < until, what);
}

for (const hook of ["XDP", "traffic control"] as const) {
  for (const [routing, name] of [
    ["native", "v4"],
    ["tunnel", "v6"],
  ] as const) {
    const net = { ...families[name], ...at[name] };
    const [first, second] = net.backends;
    const tunnel = routing === "tunnel";

    describe(`shortcuts, ${hook}, ${name}, ${routing}`, () => {
      let node: TestNode;
      let cpus: string;
      let sport = 20_000;
      const onward = hook === "XDP" ? XdpAction.tx : Action.redirect;

      before(() => {
        // Each CPU has its own.
        cpus = execFileSync("taskset", ["-p", String(process.pid)], { encoding: "utf8" })
          .split(": ")[1]!
          .trim();
        execFileSync("taskset", ["-p", "1", String(process.pid)], { stdio: "ignore" });
        node = TestNode.create(`cut${hook}${name}${routing}`, { routing, xdp: true });
      });
      after(() => {
        node[Symbol.dispose]();
        execFileSync("taskset", ["-p", cpus, String(process.pid)], { stdio: "ignore" });
      });

      const serve = (id: number, flags = 0) => {
        for (const backend of net.backends)
          node.identify(backend + net.bits, 2005, tunnel ? at.v4.otherNode : undefined);
        for (const [i, proto] of [Proto.tcp, Proto.udp].entries()) {
          const backends = [{ id: id + i, address: first, port: 8080 }];
          node.service({
            id: id + i,
            address: net.node,
            port: PORT,
            proto,
            type: "NodePort",
            flags,
            backends,
          });
        }
      };
      const send = (bytes: Uint8Array) => (hook === "XDP" ? node.fromWire(bytes) : node.fromDevice(bytes));
      const udp = (more: Partial<PacketFields> = {}) =>
        buildPacket({
          from: net.client,
          to: net.node,
          transport: { kind: "udp", sport, dport: PORT },
          payload: Uint8Array.of(1, 2, 3),
          ...more,
        });
      const tcp = (flags: number) =>
        buildPacket({
          from: net.client,
          to: net.node,
          transport: { kind: "tcp", sport, dport: PORT, flags },
        });
      const sent = (out: Outcome) => {
        assert.equal(out.action, onward);
        return readPacket(tunnel && hook === "XDP" ? out.bytes.subarray(WRAPPING) : out.bytes);
      };
      const ask = (out: Outcome) => assert.notEqual(out.action, onward);
      /** Packets of a flow that has its shortcut now. */
      const known = (packet: () => Uint8Array = udp) => {
        sport++;
        send(packet());
        return sent(send(packet()));
      };
      /** A map as somebody sees it whose writes nobody notices. */
      const unseen = (map: string) => BpfMap.openId(node.map(map).info.id);
      const frontend = (proto: number = Proto.udp) => ({
        addr: parseAddress(net.node),
        port: PORT,
        proto,
        scope: 0,
      });
      const forget = (map: BpfMap, proto?: number) =>
        typedMap(map, lbFrontendKeyLayout, lbFrontendLayout).delete(frontend(proto));
      const frontends = () => node.typed("lb_frontends", lbFrontendKeyLayout, lbFrontendLayout);

      it("takes the same way without asking, for a second at most", () => {
        inOneSecond(() => {
          serve(20);
          const before = known();
          using map = unseen("lb_frontends");
          forget(map);
          const out = send(udp());
          const { source, sport: port, destination, dport, ttl } = sent(out);
          assert.deepEqual(
            [source, port, destination, dport, ttl],
            [before.source, before.sport, first, 8080, 63],
          );
          assert.deepEqual(out.events, []);
          sport++;
          ask(send(udp()));
          sport--;
        });
        eventually(() => send(udp()).action !== onward, "asks");
      });

      it("is not taken by what no flow's known packet is", () => {
        inOneSecond(() => {
          serve(20);
          known();
          using map = unseen("lb_frontends");
          forget(map);
          ask(send(udp({ ttl: 1 })));
          ask(send(udp({ payload: new Uint8Array(1480) })));
          sent(send(udp()));
        });
        for (const end of [Tcp.fin | Tcp.ack, Tcp.rst, Tcp.syn])
          inOneSecond(() => {
            serve(20);
            known(() => tcp(Tcp.ack));
            using map = unseen("lb_frontends");
            forget(map, Proto.tcp);
            sent(send(tcp(Tcp.ack)));
            ask(send(tcp(end)));
            ask(send(tcp(Tcp.ack)));
          });
      });

      it("ends with the service", () => {
        inOneSecond(() => {
          serve(20);
          known();
          frontends().deleteMany([frontend()]);
          ask(send(udp()));
        });
      });

      it("ends with the backend", () => {
        inOneSecond(() => {
          serve(20);
          assert.equal(known().destination, first);
          const backends = node.typed("lb_backends", lbBackendKeyLayout, lbBackendLayout);
          backends.set({ id: 21 }, { addr: parseAddress(second), port: 9090, proto: Proto.udp, flags: 0 });
          const { destination, dport } = sent(send(udp()));
          assert.deepEqual([destination, dport], [second, 9090]);
        });
      });

      it("ends when the client may ask no more", () => {
        inOneSecond(() => {
          serve(20, LbFlag.sourceRanges);
          const ranges = node.typed("lb_source_ranges", lbSourceRangeKeyLayout, lbSourceRangeLayout);
          const all = { prefixlen: 32, frontend: 21, addr: parseAddress("::") };
          ranges.set(all, { allowed: 1 });
          known();
          ranges.delete(all);
          ask(send(udp()));
          assert.equal(node.fromDevice(udp()).events[0]?.reason, DropReason.deniedByLbSrcRangeCheck);
        });
      });

      it("ends when the sender's address is found to be a pod's here", () => {
        inOneSecond(() => {
          serve(20);
          known();
          node.pod({ id: 1, [name]: net.client, identity: 1001 });
          ask(send(udp()));
          node.map("endpoints_by_addr").delete(addressBytes(parseAddress(net.client)));
          sent(send(udp()));
        });
      });

      it("ends when the backend's node is another one", () => {
        if (!tunnel || hook !== "XDP") return;
        inOneSecond(() => {
          serve(20);
          known();
          node.identify(first + net.bits, 2005, at.v4.gateway);
          const out = send(udp());
          assert.equal(out.packet.destination, at.v4.gateway);
        });
      });

      it("ends when a neighbour has another MAC", () => {
        if (hook !== "XDP") return;
        serve(20);
        const move = (mac: string) => {
          using netlink = openNetlink({ netns: node.netns });
          const address = parseAddress(tunnel ? at.v4.otherNode : net.otherNode);
          replaceNeighbour(netlink, { link: linkIndex(netlink, "dev0"), address, mac });
        };
        known();
        move("02:00:00:00:00:77");
        eventually(
          () => send(udp()).packet.destinationMac === "02:00:00:00:00:77",
          "the neighbour's new MAC",
        );
        move("02:00:00:00:00:02");
      });

      it("keeps what it rests on alive", () => {
        serve(20);
        known();
        const expiry = () =>
          [...node.conntrack.entries()].find(([key]) => key.lowPort === sport)?.[1].expiresSec ?? 0;
        const at = expiry();
        assert.notEqual(at, 0);
        eventually(() => {
          sent(send(udp()));
          return expiry() > at;
        }, "the connection's entry lives longer");
      });

      it("counts every packet", () => {
        const forwarded = () => {
          const key = new Uint8Array(4);
          const values = node.map("metrics").lookup(key)!;
          const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
          let packets = 0n;
          for (let offset = 0; offset < values.length; offset += 16)
            packets += view.getBigUint64(offset, true);
          return packets;
        };
        serve(20);
        known();
        const before = forwarded();
        for (let i = 0; i < 5; i++) sent(send(udp()));
        assert.equal(forwarded() - before, 5n);
      });
    });
  }
}
