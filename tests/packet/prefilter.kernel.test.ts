// SPDX-License-Identifier: Apache-2.0
/** Denied sources end at the node's device: at XDP, or at traffic control where there is no XDP. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { pino } from "pino";
import { ConfigFlag, DropReason, EventFlag, EventType, RuleNumber } from "#datapath/layouts/enums.ts";
import { attachTcx, attachXdp } from "#kernel/bpf/link.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { linkIndex } from "#kernel/netlink/link.ts";
import { Action, at, TestNode, XdpAction } from "#kit/datapath.ts";
import { eventually } from "#kit/eventually.ts";
import { buildFragments, buildPacket, type PacketFields, Tcp } from "#kit/packet.ts";
import { sendFrame } from "#kit/send-frame.ts";
import { parsePrefix } from "#model/ip.ts";
import { Prefilter } from "#prefilter/prefilter.ts";

const families = {
  v4: { cidr: "198.51.100.0/24", denied: "198.51.100.9", other: "198.51.101.9", identity: 9 },
  v6: { cidr: "2001:db8:9::/48", denied: "2001:db8:9::9", other: "2001:db8:a::9", identity: 10 },
} as const;

const dir = mkdtempSync(join(tmpdir(), "weft-prefilter-"));
after(() => rmSync(dir, { recursive: true }));
let files = 0;

function prefilterOf(node: TestNode, file = join(dir, `${files++}.json`)): Prefilter {
  return new Prefilter({ map: (name) => node.map(name), file, log: pino({ level: "silent" }) });
}

for (const hook of ["from_wire", "from_device"] as const)
  for (const name of ["v4", "v6"] as const) {
    const net = { ...families[name], ...at[name] };
    const [passes, drops] =
      hook === "from_wire" ? [XdpAction.pass, XdpAction.drop] : [Action.pass, Action.drop];

    describe(`prefilter, ${hook}, ${name}`, () => {
      let node: TestNode;
      let prefilter: Prefilter;
      const send = (bytes: Uint8Array) =>
        hook === "from_wire" ? node.fromWire(bytes) : node.fromDevice(bytes);
      const tcp = (from: string, more: Partial<PacketFields> = {}): PacketFields => ({
        from,
        to: net.node,
        transport: { kind: "tcp", sport: 1000, dport: 22, flags: Tcp.syn },
        ...more,
      });

      before(() => {
        node = TestNode.create(`deny${hook}${name}`, { routing: "native", xdp: true });
        prefilter = prefilterOf(node);
      });
      after(() => node[Symbol.dispose]());

      it("without a list nothing is denied", () => {
        assert.equal(send(buildPacket(tcp(net.denied))).action, passes);
      });

      it("what comes from a denied source is dropped, with its reason, and counted", () => {
        prefilter.change({ op: "add", cidrs: [net.cidr] }, []);
        const bytes = buildPacket(tcp(net.denied));
        const out = send(bytes);
        assert.equal(out.action, drops);
        assert.equal(out.events.length, 1);
        const event = out.events[0]!;
        assert.deepEqual(
          [event.type, event.reason, event.ingressRule, event.srcIdentity, event.flags & EventFlag.ingress],
          [EventType.drop, DropReason.policyDeny, RuleNumber.prefilter, net.identity, EventFlag.ingress],
        );
        assert.deepEqual(
          [event.saddr, event.daddr, event.sport, event.dport, event.tcpFlags],
          [net.denied, net.node, 1000, 22, Tcp.syn],
        );
        assert.equal(send(buildPacket(tcp(net.other))).action, passes);
        const [row] = prefilter.rows();
        assert.deepEqual([row?.cidr, row?.packets, row?.bytes], [net.cidr, 1, bytes.length - 14]);
      });

      it("whatever it sends: ICMP, fragments, to whomever, cut short", () => {
        const dropped = () => prefilter.dropped().packets;
        const start = dropped();
        const udp = { kind: "udp", sport: 1, dport: 2 } as const;
        const frames = [
          buildPacket(
            tcp(net.denied, { transport: { kind: "icmp", type: name === "v4" ? 8 : 128, code: 0 } }),
          ),
          ...buildFragments(tcp(net.denied, { transport: udp, payload: new Uint8Array(200) }), 80),
          buildPacket(tcp(net.denied, { to: net.world })),
          buildPacket(tcp(net.denied)).slice(0, name === "v4" ? 36 : 56),
        ];
        for (const frame of frames) assert.equal(send(frame).action, drops);
        assert.equal(dropped() - start, frames.length);
        assert.equal([...node.map("frags").keys()].length, 0, "its fragments take nobody's place");
      });

      if (name === "v6")
        it("neighbours are still found, those on the link alone", () => {
          const solicitation = (hopLimit: number) =>
            send(
              buildPacket(
                tcp(net.denied, { transport: { kind: "icmp", type: 135, code: 0 }, ttl: hopLimit }),
              ),
            );
          assert.equal(solicitation(255).action, passes);
          assert.equal(solicitation(254).action, drops);
        });

      it("a longer prefix is found beside a shorter one, and goes alone", () => {
        prefilter.change({ op: "add", cidrs: [net.denied] }, []);
        send(buildPacket(tcp(net.denied)));
        const rows = prefilter.rows();
        assert.equal(rows.find(({ cidr }) => cidr.startsWith(`${net.denied}/`))?.packets, 1);
        const sum = prefilter.dropped().packets;
        prefilter.change({ op: "delete", cidrs: [net.denied] }, []);
        assert.equal(prefilter.dropped().packets, sum, "a counter never goes back");
        assert.equal(send(buildPacket(tcp(net.denied))).action, drops);
      });

      it("a flood is told in part, whatever ports and protocols it chooses", () => {
        let told = 0;
        for (let i = 0; i < 1000; i++) {
          const transport = i % 2 ? ({ kind: "udp", sport: i, dport: i } as const) : tcp("").transport;
          told += send(buildPacket(tcp(net.denied, { transport }))).events.length;
        }
        assert.ok(told < 500, `${told} of 1000`);
      });

      it("the whole of the other family is not this one", () => {
        const all = name === "v4" ? "::/0" : "0.0.0.0/0";
        prefilter.change({ op: "replace", cidrs: [all] }, []);
        assert.equal(send(buildPacket(tcp(net.denied))).action, passes);
        prefilter.change({ op: "add", cidrs: [name === "v4" ? "0.0.0.0/0" : "::/0"] }, []);
        assert.equal(send(buildPacket(tcp(net.other))).action, drops);
        prefilter.change({ op: "flush" }, []);
        assert.equal(send(buildPacket(tcp(net.other))).action, passes);
        assert.deepEqual(prefilter.rows(), []);
      });
    });
  }

it("where XDP comes first, traffic control does not look again", () => {
  using node = TestNode.create("denyonce", { routing: "native", flags: ConfigFlag.xdp });
  prefilterOf(node).change({ op: "add", cidrs: ["198.51.100.0/24"] }, []);
  const transport = { kind: "tcp", sport: 1, dport: 22, flags: Tcp.syn } as const;
  const bytes = buildPacket({ from: "198.51.100.9", to: at.v4.node, transport });
  assert.equal(node.fromDevice(bytes).action, Action.pass);
});

for (const mode of ["driver", "generic", "traffic control"] as const)
  it(`frames out of a cable end at the device: ${mode}`, async () => {
    using node = TestNode.create(`deny${mode.slice(0, 3)}`, { routing: "native", xdp: true });
    const prefilter = prefilterOf(node);
    using netlink = openNetlink({ netns: node.netns });
    const cable = linkIndex(netlink, "dev0p");
    const ifindex = node.deviceIfindex;
    using _attached = node.inside(() =>
      mode === "traffic control"
        ? attachTcx({ program: node.program("from_device"), ifindex, direction: "ingress" })
        : attachXdp({ program: node.program("from_wire"), ifindex, mode }),
    );
    prefilter.change({ op: "add", cidrs: Object.values(families).map(({ cidr }) => cidr) }, []);
    for (const name of ["v4", "v6"] as const) {
      const transport = { kind: "udp", sport: 1, dport: 53 } as const;
      const packet = {
        from: families[name].denied,
        to: at[name].node,
        transport,
        payload: new Uint8Array(64),
      };
      node.inside(() => sendFrame(cable, buildPacket(packet)));
    }
    await eventually(() => {
      assert.deepEqual(
        prefilter.rows().map(({ packets }) => packets),
        [1, 1],
      );
    }, 5_000);
  });

it("a list is in force or it is not, and outlives the agent", () => {
  using node = TestNode.create("denystate", { routing: "native", xdp: true });
  const file = join(dir, "list.json");
  const first = prefilterOf(node, file);
  const feed = Array.from({ length: 10_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  assert.deepEqual(first.change({ op: "add", cidrs: feed }, []), {
    added: 10_000,
    removed: 0,
    unchanged: 0,
    total: 10_000,
    warnings: [],
  });
  const needed = [{ prefix: parsePrefix("172.16.5.4/32"), who: "node n2" }];
  assert.throws(() => first.change({ op: "replace", cidrs: ["172.16.0.0/12", "192.0.2.0/24"] }, needed), {
    code: "E_LOCK_OUT",
    message: "this would cut off 172.16.0.0/12: node n2 (172.16.5.4)",
  });
  assert.throws(() => first.change({ op: "add", cidrs: ["192.0.2.0/24", "nonsense"] }, []), {
    code: "E_CIDR",
  });
  assert.equal(first.size, 10_000);
  const again = prefilterOf(node, file);
  assert.equal(again.size, 10_000);
  again.change({ op: "replace", cidrs: ["172.16.0.0/12"], force: true, comment: "drill" }, needed);
  node.map("prefilter").delete(new Uint8Array(4));
  const afterReboot = prefilterOf(node, file);
  assert.deepEqual(
    afterReboot.rows().map(({ cidr, comment }) => [cidr, comment]),
    [["172.16.0.0/12", "drill"]],
  );
  const transport = { kind: "udp", sport: 1, dport: 2 } as const;
  const bytes = buildPacket({ from: "172.16.9.9", to: at.v4.node, transport });
  assert.equal(node.fromWire(bytes).action, XdpAction.drop);
  writeFileSync(file, "spoilt");
  assert.equal(prefilterOf(node, file).size, 1, "what the kernel has stays");
});
