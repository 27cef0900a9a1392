// SPDX-License-Identifier: Apache-2.0
/** What the balancer's programs cost a packet from outside, by test run, each time with the packet as it came. */
import assert from "node:assert/strict";
import { LbFlag } from "#datapath/layouts/enums.ts";
import { type Collection, loadCollection } from "#kernel/bpf/object.ts";
import { skBuffContext, xdpContext } from "#kernel/bpf/test-run.ts";
import { typedMap, u32Layout } from "#kernel/bpf/typed-map.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { Action, at, TestNode, XdpAction } from "#kit/datapath.ts";
import { buildPacket, type PacketFields, Proto, readPacket, Tcp } from "#kit/packet.ts";
import type { BenchPart } from "./context.ts";
import { type Figure, figure, shuffled } from "./stats.ts";

const defaultRounds = 21;
const repeat = 2000;
/** A new flow takes places of the maps' for good. */
const newFlows = 200;
/** What again.bpf.c stores. */
const headBytes = 128;
const remote = "10.0.2.5";
const client = "198.51.100.9";
const ports = { snat: 30_080, direct: 30_081 } as const;
const sourcePortAt = 34;
/** Mappings of flows that came once stay for a minute. */
const config = { natPortMin: 32_768 };

type Hook = "xdp" | "tc";

interface Case {
  readonly name: string;
  readonly hook: Hook;
  readonly node: TestNode;
  readonly packet: Uint8Array;
  readonly action: number;
  /** A source port of its own for each packet. */
  readonly fresh?: true;
}

function toFrontend(dport: number, transport: Partial<PacketFields["transport"]> = {}): Uint8Array {
  return buildPacket({
    from: client,
    to: at.v4.node,
    transport: { kind: "udp", sport: 40_000, dport, ...transport } as PacketFields["transport"],
    payload: new Uint8Array(headBytes),
  });
}

function service(node: TestNode, port: number, flags: number): void {
  for (const [i, proto] of [Proto.tcp, Proto.udp].entries()) {
    const id = port + 1000 * i;
    const backends = [{ id, address: remote, port: 8080 }];
    node.service({ id, address: at.v4.node, port, proto, type: "NodePort", flags, backends });
  }
}

function casesOf(node: TestNode, routing: "native" | "tunnel"): Case[] {
  const tunnel = routing === "tunnel";
  node.identify(`${remote}/32`, 2005, tunnel ? at.v4.otherNode : undefined);
  service(node, ports.snat, 0);
  service(node, ports.direct, LbFlag.dsr);
  const known = toFrontend(ports.snat);
  const sent = readPacket(tunnel ? node.fromWire(known).bytes.subarray(50) : node.fromWire(known).bytes);
  const answer = buildPacket({
    from: remote,
    to: sent.source,
    transport: { kind: "udp", sport: 8080, dport: sent.sport },
    payload: new Uint8Array(headBytes),
  });
  const fresh = toFrontend(ports.snat, { sport: 1024, checksum: false });
  const tcp = (flags: number) => toFrontend(ports.direct, { kind: "tcp", sport: 40_001, flags });
  node.fromWire(tcp(Tcp.syn));
  const both = (name: string, packet: Uint8Array, more: Pick<Case, "fresh"> = {}): Case[] => [
    { name: `XDP, ${routing}, ${name}`, hook: "xdp", node, packet, action: XdpAction.tx, ...more },
    { name: `tc, ${routing}, ${name}`, hook: "tc", node, packet, action: Action.redirect, ...more },
  ];
  return [
    ...both("known flow", known),
    ...both("new flow", fresh, { fresh: true }),
    ...both("known flow, DSR", tcp(Tcp.ack)),
    ...(tunnel ? [] : both("answer", answer)),
  ];
}

/** Nanoseconds a packet of the program at the node's device. */
function time(
  again: Collection,
  { hook, node, packet, fresh }: Omit<Case, "name" | "action">,
  program: number,
) {
  const job = new Uint8Array(16 + headBytes);
  const view = new DataView(job.buffer);
  view.setUint32(0, packet.length, true);
  view.setUint32(4, fresh ? sourcePortAt : 0, true);
  view.setUint32(8, Math.floor(Math.random() * 60_000), true);
  job.set(packet.subarray(0, headBytes), 16);
  again.map("packets").update(new Uint8Array(4), job);
  typedMap(again.map(`next_${hook}`), u32Layout, u32Layout).set(0, program);
  const ifindex = node.deviceIfindex;
  const context =
    hook === "xdp" ? xdpContext({ length: packet.length, ifindex }) : skBuffContext({ ifindex });
  const run = node.inside(() =>
    again.program(`again_${hook}`).testRun({ data: packet, context, repeat: fresh ? newFlows : repeat }),
  );
  node.events();
  return { ns: run.durationNs, action: run.returned };
}

const least: Readonly<Record<Hook, string>> = { xdp: "bounce", tc: "redirect" };

export const balancer: BenchPart = {
  name: "balancer",
  what: "nanoseconds a packet to a NodePort and back, by test run",
  async run({ rounds = defaultRounds, signal, progress }) {
    using native = TestNode.create("bench-n", { routing: "native", xdp: true, config });
    using tunnel = TestNode.create("bench-t", { routing: "tunnel", xdp: true, config });
    using again = loadCollection(compiledSpec("tests/bench/again.bpf.c"));
    const list = [...casesOf(native, "native"), ...casesOf(tunnel, "tunnel")];
    const seen = new Map<string, { ns: number; ratio: number; more: number }[]>(
      list.map(({ name }) => [name, []]),
    );
    progress(`${list.length} packets`);
    for (let round = -1; round < rounds; round++)
      for (const one of shuffled(list)) {
        signal.throwIfAborted();
        const floor = again.program(least[one.hook]).fd.number;
        const before = time(again, one, floor).ns;
        const program = one.node.program(one.hook === "xdp" ? "from_wire" : "from_device");
        const took = time(again, one, program.fd.number);
        const base = (before + time(again, one, floor).ns) / 2;
        assert.equal(took.action, one.action, one.name);
        if (round >= 0)
          seen.get(one.name)!.push({ ns: took.ns, ratio: took.ns / base, more: took.ns - base });
      }
    return [...seen].flatMap(([name, took]): Figure[] => [
      figure(
        `${name}: time`,
        "ratio",
        took.map(({ ratio }) => ratio),
        "least program",
      ),
      figure(
        `${name}: time above the least program's`,
        "ns",
        took.map(({ more }) => more),
      ),
    ]);
  },
};
