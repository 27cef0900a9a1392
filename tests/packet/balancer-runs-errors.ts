// SPDX-License-Identifier: Apache-2.0
/** More of what balancer-scenarios.ts runs: errors of both sides, and connections that only their ports tell apart. */
import assert from "node:assert/strict";
import { BACKEND_PORT, type Case, type Sent } from "#kit/balancer.ts";
import type { Outcome } from "#kit/datapath.ts";
import { barePacket, buildPacket, type PacketFields, Proto, Tcp, type Transport } from "#kit/packet.ts";
import { ends, isShown, reaches } from "./balancer-runs.ts";

const { tcp, udp } = Proto;

/** A connection by the service and one to the backend itself, from one port, in either order. */
export function besideDirect(c: Case): void {
  const [backend] = c.backends;
  const itself = { address: backend, port: BACKEND_PORT };
  for (const proto of [tcp, udp])
    for (const first of ["service", "direct"] as const) {
      const service = c.serve({ proto });
      const sport = c.port();
      const ask = { service, direct: { ...itself, proto } };
      const second = first === "service" ? "direct" : "service";
      const one = c.ask(ask[first], sport);
      const two = c.ask(ask[second], sport);
      const [viaService, straight] = first === "service" ? [one, two] : [two, one];
      assert.deepEqual(
        [one.packet.sport, one.packet.destination, two.packet.destination],
        [sport, backend, backend],
      );
      assert.notEqual(two.packet.sport, sport);
      for (let i = 0; i < 2; i++) {
        isShown(c, c.answer(viaService), service, sport);
        const back = c.answer(straight);
        assert.deepEqual(ends(back), [backend, BACKEND_PORT, c.client, sport], `${first} first`);
        const again = c.ask(ask.direct, sport, { flags: Tcp.ack });
        assert.equal(again.packet.sport, straight.packet.sport);
        assert.equal(c.ask(service, sport, { flags: Tcp.ack }).packet.sport, viaService.packet.sport);
      }
      const error = c.fromBackend(errorAbout(c, straight, backend, straight.packet.source), backend);
      assert.deepEqual([error.packet.about?.source, error.packet.about?.sport], [c.client, sport]);
    }
}

/** An error of `from`, sent to `to`, about a packet of theirs. */
export function errorAbout(c: Case, about: Sent, from: string, to: string, tooBig = false): Uint8Array {
  const { source, sport, destination, dport, proto } = about.packet;
  const transport =
    proto === tcp ? { kind: "tcp", sport, dport, flags: Tcp.ack } : { kind: "udp", sport, dport };
  const fields = { from: source, to: destination, transport } as PacketFields;
  const kind = tooBig ? (c.v6 ? [2, 0] : [3, 4]) : c.v6 ? [1, 4] : [3, 3];
  const error = {
    kind: "error",
    type: kind[0]!,
    code: kind[1]!,
    word: tooBig ? 1300 : 0,
    about: barePacket(fields),
  } as const;
  return buildPacket({ from, to, transport: error });
}

export function backendsError(c: Case): void {
  const service = c.serve({ proto: udp });
  const sport = c.port();
  const [backend] = c.backends;
  const asked = reaches(c, c.ask(service, sport));
  for (const tooBig of [false, true]) {
    const out = c.fromBackend(errorAbout(c, asked, backend, asked.packet.source, tooBig), backend);
    assert.equal(out.went, "on", `reason ${out.reason}`);
    const { about, source, destination } = out.packet;
    assert.deepEqual(
      [source, destination, about?.source, about?.sport, about?.destination, about?.dport],
      [service.address, c.client, c.client, sport, service.address, service.port],
    );
  }
}

/** From the client's side about an answer: the way there carries less, or the client listens no more. */
export function clientsError(c: Case): void {
  for (const proto of [tcp, udp]) {
    const service = c.serve({ proto });
    const sport = c.port();
    const asked = reaches(c, c.ask(service, sport));
    const answer = c.answer(asked);
    const onTheWay = c.hook === "pod" ? c.client : c.net.neighbour;
    for (const tooBig of [true, false]) {
      const out = c.send(errorAbout(c, answer, onTheWay, service.address, tooBig));
      assert.equal(out.went, "on", `reason ${out.reason}`);
      const { about, destination, source } = out.packet;
      assert.deepEqual(
        [destination, about?.source, about?.sport, about?.destination, about?.dport],
        [
          asked.packet.destination,
          asked.packet.destination,
          BACKEND_PORT,
          asked.packet.source,
          asked.packet.sport,
        ],
      );
      assert.equal(source, c.hidden ? c.net.router : onTheWay, "of an address that reaches the backend");
    }
    assert.deepEqual(ends(c.answer(asked)), ends(answer), "the connection goes on");
  }
}

export function strangersError(c: Case): void {
  const service = c.serve({ proto: udp });
  const nothing: Sent = c.send(buildPacket(c.toService(service, c.port())));
  const about = {
    ...nothing,
    packet: {
      ...nothing.packet,
      source: service.address,
      sport: service.port,
      destination: c.client,
      dport: 9,
    },
  };
  const bytes = errorAbout(c, about, c.hook === "pod" ? c.client : c.net.neighbour, service.address, true);
  const out = c.send(bytes);
  assert.deepEqual([out.packet.destination, out.packet.about?.source], [service.address, service.address]);
}

export function hairpin(c: Case): void {
  const service = c.serve({ proto: tcp, backends: [c.client] });
  const sport = c.port();
  const out = c.ask(service, sport);
  assert.deepEqual([out.went, out.packet.destination, out.packet.sport], ["on", c.client, sport]);
  assert.notEqual(out.packet.source, c.client, "its own address would pass for a forgery");
  const back = c.answer(out);
  assert.deepEqual(ends(back), [service.address, service.port, c.client, sport]);
  const error = c.send(errorAbout(c, back, c.client, service.address));
  const { source, destination, about } = error.packet;
  assert.deepEqual(
    [source, destination, about?.source, about?.destination],
    [out.packet.source, c.client, c.client, out.packet.source],
  );
}

/** A pod has no errors about what others receive. */
export function forgedError(c: Case): void {
  const service = c.serve({ proto: tcp });
  const sport = c.port();
  const answer = c.answer(reaches(c, c.ask(service, sport)));
  const other = c.pods.local[1]!;
  const bytes = errorAbout(c, answer, other[c.family]!, service.address, true);
  const out = c.node.fromPod(other, bytes);
  assert.equal(out.packet.destination, service.address, "led to nobody");
}

const endsOf = ({ packet: { source, sport, destination, dport } }: Outcome) => [
  source,
  sport,
  destination,
  dport,
];

/** What a process of the node answers to a service's client, as it leaves. */
function processAnswers(c: Case, asked: Sent): Outcome {
  const { destination, source, sport, proto } = asked.packet;
  const ports = { sport: BACKEND_PORT, dport: sport };
  const transport: Transport =
    proto === udp ? { kind: "udp", ...ports } : { kind: "tcp", ...ports, flags: Tcp.syn | Tcp.ack };
  const bytes = buildPacket({ from: destination, to: source, transport });
  return c.hook === "pod" ? c.node.toPod(c.pods.asks, bytes) : c.node.toDevice(bytes);
}

export function processOfNode(c: Case): void {
  const service = c.serve({ proto: tcp, backends: [c.net.node] });
  if (c.hook === "socket") {
    assert.deepEqual(c.connect(service), { backend: c.net.node, port: BACKEND_PORT });
    return;
  }
  const sport = c.port();
  const asked = c.ask(service, sport);
  assert.deepEqual([asked.went, ...ends(asked)], ["up", c.client, sport, c.net.node, BACKEND_PORT]);
  const { packet } = processAnswers(c, asked);
  assert.deepEqual(
    [packet.source, packet.sport, packet.destination, packet.dport],
    [service.address, service.port, c.client, sport],
  );
}

/** A process has a connection of the client's port already, which is of no service. */
export function besideProcess(c: Case): void {
  const service = c.serve({ proto: tcp, backends: [c.net.node] });
  const sport = c.port();
  const close = c.connected({ from: c.client, sport, to: c.net.node, port: BACKEND_PORT });
  const asked = c.ask(service, sport);
  close();
  assert.deepEqual([asked.went, asked.packet.destination], ["up", c.net.node]);
  assert.notEqual(asked.packet.sport, sport);
  const { packet } = processAnswers(c, asked);
  assert.deepEqual([packet.source, packet.destination, packet.dport], [service.address, c.client, sport]);
}

/** Datagrams to a process of the node by a service and to its own port, from one port, in either order. */
export function besideProcessByUdp(c: Case): void {
  for (const first of ["service", "direct"] as const) {
    const service = c.serve({ proto: udp, backends: [c.net.node] });
    const itself = { address: c.net.node, port: BACKEND_PORT, proto: udp };
    const sport = c.port();
    if (first === "direct") assert.equal(c.ask(itself, sport).packet.sport, sport);
    for (let i = 0; i < 3; i++) {
      const asked = c.ask(service, sport);
      const direct = c.ask(itself, sport);
      assert.deepEqual([asked.went, direct.went], ["up", "up"]);
      assert.notEqual(asked.packet.sport, direct.packet.sport);
      assert.deepEqual(endsOf(processAnswers(c, asked)), [service.address, service.port, c.client, sport]);
      assert.deepEqual(endsOf(processAnswers(c, direct)), [c.net.node, BACKEND_PORT, c.client, sport]);
    }
    const other = c.port();
    assert.equal(c.ask(itself, other).packet.sport, other, "nobody else's");
  }
}
