// SPDX-License-Identifier: Apache-2.0
/** Nanoseconds a packet of each program, by test run, as ratios to a fixed program of the same interleaving. */
import assert from "node:assert/strict";
import { loadCollection } from "#kernel/bpf/object.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { Action, at, TestNode } from "#kit/datapath.ts";
import { buildPacket, Tcp } from "#kit/packet.ts";
import type { BenchPart } from "./context.ts";
import { type Figure, figure, shuffled } from "./stats.ts";

const defaultRounds = 31;
/** A run takes one from the time to live. */
const repeat = 200;
const ports = [40_000, 80] as const;
const addresses = { a: "10.0.1.2", b: "10.0.1.3", remote: "10.0.2.5" };

interface Case {
  readonly name: string;
  readonly program: string;
  readonly ifindex: number;
  readonly packet: Uint8Array;
  readonly action: number;
}

function tcp(from: string, to: string, way: readonly [number, number], flags: number): Uint8Array {
  const [sport, dport] = way;
  return buildPacket({ from, to, ttl: 255, transport: { kind: "tcp", sport, dport, flags } });
}

/** Connections that are open, as nearly all packets' are. */
function cases(node: TestNode): Case[] {
  const { a, b, remote } = addresses;
  const pods = [
    node.pod({ id: 1, v4: a, identity: 1001 }),
    node.pod({ id: 2, v4: b, identity: 1002 }),
  ] as const;
  node.identify(`${remote}/32`, 2005, at.v4.otherNode);
  const [there, back] = [ports, [ports[1], ports[0]]] as const;
  const near = node.podIfindex(pods[0]);
  const handshake = (send: (flags: number) => void, answer: (flags: number) => void) => {
    send(Tcp.syn);
    answer(Tcp.syn | Tcp.ack);
    send(Tcp.ack);
  };
  handshake(
    (flags) => node.fromPod(pods[0], tcp(a, b, there, flags)),
    (flags) => node.fromPod(pods[1], tcp(b, a, back, flags)),
  );
  handshake(
    (flags) => node.fromPod(pods[0], tcp(a, remote, there, flags)),
    (flags) => node.fromOverlay(tcp(remote, a, back, flags), 2005),
  );
  handshake(
    (flags) => node.toPod(pods[0], tcp(at.v4.node, a, there, flags)),
    (flags) => node.fromPod(pods[0], tcp(a, at.v4.node, back, flags)),
  );
  const device = node.deviceIfindex;
  const gateway = at.v4.gateway;
  return [
    {
      name: "from_pod to a pod of the node",
      program: "from_pod",
      ifindex: near,
      packet: tcp(a, b, there, Tcp.ack),
      action: Action.redirect,
    },
    {
      name: "from_pod to another node",
      program: "from_pod",
      ifindex: near,
      packet: tcp(a, remote, there, Tcp.ack),
      action: Action.redirect,
    },
    {
      name: "from_pod to the node",
      program: "from_pod",
      ifindex: near,
      packet: tcp(a, at.v4.node, back, Tcp.ack),
      action: Action.pass,
    },
    {
      name: "to_pod from the node",
      program: "to_pod",
      ifindex: near,
      packet: tcp(at.v4.node, a, there, Tcp.ack),
      action: Action.pass,
    },
    {
      name: "from_device to the node",
      program: "from_device",
      ifindex: device,
      packet: tcp(gateway, at.v4.node, there, Tcp.ack),
      action: Action.pass,
    },
    {
      name: "to_device from the node",
      program: "to_device",
      ifindex: device,
      packet: tcp(at.v4.node, gateway, back, Tcp.ack),
      action: Action.pass,
    },
  ];
}

export const programs: BenchPart = {
  name: "programs",
  what: "nanoseconds a packet of each program, by test run",
  async run({ rounds = defaultRounds, signal, progress }) {
    using node = TestNode.create("bench", { routing: "tunnel" });
    using collection = loadCollection(compiledSpec("tests/bench/reference.bpf.c"));
    const fixed = collection.program("reference");
    const list = cases(node);
    const data = tcp(addresses.a, addresses.b, ports, Tcp.ack);
    const seen = new Map<string, { ns: number; ratio: number }[]>(list.map(({ name }) => [name, []]));
    const control: number[] = [];
    progress(`${list.length} programs`);
    for (let round = 0; round < rounds; round++) {
      signal.throwIfAborted();
      for (const { name, program, ifindex, packet, action } of shuffled(list)) {
        const before = fixed.testRun({ data, repeat }).durationNs;
        const took = node.time(program, packet, { ifindex, repeat });
        const after = fixed.testRun({ data, repeat }).durationNs;
        assert.equal(took.action, action, name);
        seen.get(name)!.push({ ns: took.ns, ratio: took.ns / ((before + after) / 2) });
        control.push(after / before);
      }
    }
    const figures: Figure[] = [...seen].flatMap(([name, took]) => [
      figure(
        `${name}: time`,
        "ratio",
        took.map(({ ratio }) => ratio),
        "reference program",
      ),
      figure(
        `${name}: time`,
        "ns",
        took.map(({ ns }) => ns),
      ),
    ]);
    return [figure("reference program (again): time", "ratio", control, "reference program"), ...figures];
  },
};
