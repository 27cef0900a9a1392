// SPDX-License-Identifier: Apache-2.0
/** More of what balancer-scenarios.ts runs: source ports, lengths, direct server return, frames that are none of the balancer's. */
import assert from "node:assert/strict";
import { DropReason, LbFlag } from "#datapath/layouts/enums.ts";
import { BACKEND_PORT, type Case, type Sent, type Served, TUNNEL_ROOM } from "#kit/balancer.ts";
import { buildFragments, buildPacket, Proto, readFragments, Tcp } from "#kit/packet.ts";
import { parseAddress } from "#model/ip.ts";
import { ends, isDropped, isShown, reaches } from "./balancer-runs.ts";
import { errorAbout } from "./balancer-runs-errors.ts";

const { tcp, udp } = Proto;
/** Of TestNode's configuration. */
const NAT_PORTS = { min: 61_000, max: 65_535 } as const;
const IP = { v4: 20, v6: 40 } as const;
const OPTION = { v4: 8, v6: 24 } as const;

/** Two clients of one port: each has a source port of its own, and its answers. */
export function portConflict(c: Case): void {
  const service = c.serve({ proto: udp });
  const sport = c.port();
  const clients = [c.net.outside, c.net.neighbour];
  const sent = clients.map((from) => reaches(c, c.ask(service, sport, { from })));
  assert.notDeepEqual(ends(sent[0]!), ends(sent[1]!));
  for (const round of [1, 0]) {
    const back = c.answer(sent[round]!);
    assert.deepEqual(ends(back), [service.address, service.port, clients[round], sport]);
  }
}

/** Every port is taken: a new connection is refused with a reason, those there are go on. */
export function portsExhausted(c: Case): void {
  const proto = udp;
  const service = c.serve({ proto });
  const sport = c.port();
  const first = reaches(c, c.ask(service, sport));
  const backend = parseAddress(c.backends[0]);
  const key = (dport: number) =>
    ({
      saddr: backend,
      daddr: parseAddress(c.net.router),
      sport: BACKEND_PORT,
      dport,
      proto,
      reply: 1,
    }) as const;
  const taken: number[] = [];
  for (let port: number = NAT_PORTS.min; port <= NAT_PORTS.max; port++)
    if (port !== first.packet.sport) taken.push(port);
  const nowSec = Number(process.hrtime.bigint() / 1_000_000_000n);
  const value = {
    addr: parseAddress(c.net.neighbour),
    port: 1,
    flags: 0,
    expiresSec: nowSec + 60,
    frontend: service.id,
  };
  for (const port of taken) c.node.nat.set(key(port), value);
  try {
    isDropped(c.ask(service, c.port()), DropReason.noMappingForNatMasquerade);
    isShown(c, c.answer(reaches(c, c.ask(service, sport))), service, sport);
  } finally {
    for (const port of taken) c.node.nat.delete(key(port));
  }
  reaches(c, c.ask(service, c.port()));
}

const datagramOf = (c: Case, length: number) => new Uint8Array(length - IP[c.family] - 8);

/** Longer than the tunnel carries: the client is told the room there is, in its own terms. */
export function tooLong(c: Case): void {
  const service = c.serve({ proto: udp });
  const sport = c.port();
  reaches(c, c.ask(service, sport, { payload: datagramOf(c, TUNNEL_ROOM) }));
  const out = c.ask(service, sport, { payload: datagramOf(c, TUNNEL_ROOM + 1) });
  isTold(c, out, { service, sport, room: TUNNEL_ROOM });
}

function isTold(
  c: Case,
  out: Sent,
  { service, sport, room }: { service: Served; sport: number; room: number },
): void {
  assert.deepEqual([out.went, out.reason], ["on", DropReason.ipFragmentationNotSupported]);
  const { type, code, source, destination, about } = out.packet;
  assert.deepEqual(
    [type, code, source, destination],
    [...(c.v6 ? [2, 0] : [3, 4]), service.address, c.client],
  );
  assert.deepEqual(
    [about?.source, about?.sport, about?.destination, about?.dport],
    [c.client, sport, service.address, service.port],
  );
  const at = out.bytes.byteOffset + 14 + IP[c.family] + 4;
  assert.equal(new DataView(out.bytes.buffer, at).getUint32(0), room);
}

/** A service that both nodes know, whose backends answer for it. */
function serveDirectly(c: Case, proto: number): Served {
  const service = c.serve({ proto, flags: LbFlag.dsr });
  c.other.service({ ...service, address: c.net.otherNode });
  return service;
}

function answersDirectly(c: Case, asked: Sent, flags = Tcp.syn | Tcp.ack): Sent {
  const { source, sport, proto } = asked.packet;
  const ports = { sport: BACKEND_PORT, dport: sport };
  const transport =
    proto === tcp ? ({ kind: "tcp", ...ports, flags } as const) : ({ kind: "udp", ...ports } as const);
  return c.leave(buildPacket({ from: c.backends[0], to: source, transport }), c.backends[0]);
}

/** Direct server return: the backend sees the client, its node answers for the address that was asked. */
export function direct(c: Case): void {
  for (const proto of [tcp, udp]) {
    const service = serveDirectly(c, proto);
    const sport = c.port();
    for (const flags of [Tcp.syn, Tcp.ack]) {
      const asked = reaches(c, c.ask(service, sport, { flags }));
      assert.equal(asked.packet.source, c.client);
      if (c.place === "local") {
        isShown(c, c.answer(asked, { flags: Tcp.ack }), service, sport);
        continue;
      }
      assert.equal(c.arrive(asked).went, "on");
      const back = answersDirectly(c, asked, flags | Tcp.ack);
      isShown(c, back, service, sport);
      assert.equal(back.vni, undefined, "past the node that was asked");
    }
  }
}

/** The error about an answer comes to the node that was asked, which has not sent it. */
export function directClientsError(c: Case): void {
  const service = serveDirectly(c, tcp);
  const sport = c.port();
  const asked = c.ask(service, sport);
  c.arrive(asked);
  const answer = answersDirectly(c, asked);
  const out = c.send(errorAbout(c, answer, c.net.neighbour, service.address, true));
  assert.equal(out.went, "on", `reason ${out.reason}`);
  assert.deepEqual([out.packet.source, out.packet.destination], [c.net.neighbour, c.backends[0]]);
  const told = c.arrive(out);
  assert.equal(told.went, "on", `reason ${told.reason}`);
  const { about } = told.packet;
  assert.deepEqual([about?.source, about?.sport, about?.dport], [c.backends[0], BACKEND_PORT, sport]);
}

export function directTooLong(c: Case): void {
  const service = serveDirectly(c, udp);
  const sport = c.port();
  const room = TUNNEL_ROOM - OPTION[c.family];
  const out = c.ask(service, sport, { payload: datagramOf(c, room + 1) });
  isTold(c, out, { service, sport, room });
}

/** The first fragment of a datagram has no room for the option: the client is told as of any other. */
export function directFragmentTooLong(c: Case): void {
  const service = serveDirectly(c, udp);
  const sport = c.port();
  const fields = c.toService(service, sport, { payload: new Uint8Array(2000), id: sport });
  const [first] = buildFragments(fields, c.v6 ? 1392 : 1424);
  isTold(c, c.send(first!), { service, sport, room: TUNNEL_ROOM - OPTION[c.family] });
  const parts = buildFragments({ ...fields, id: sport + 1 }, 1024).map((part) => c.send(part));
  for (const { went } of parts) assert.equal(went, "on");
  assert.equal(readFragments(parts.map(({ bytes }) => bytes)).dport, BACKEND_PORT);
}

/** A connection that ends leaves nothing for long. */
export function directEnd(c: Case): void {
  for (const [ours, theirs] of [
    [Tcp.rst, undefined],
    [Tcp.fin | Tcp.ack, Tcp.fin | Tcp.ack],
  ] as const) {
    const service = serveDirectly(c, tcp);
    const sport = c.port();
    const asked = c.ask(service, sport);
    c.arrive(asked);
    answersDirectly(c, asked);
    const left = () => {
      const nowSec = Number(process.hrtime.bigint() / 1_000_000_000n);
      const found = [...c.other.nat.entries()].find(([key]) => key.sport === sport && key.reply === 2);
      return (found?.[1].expiresSec ?? nowSec) - nowSec;
    };
    assert.ok(left() > 3600);
    assert.equal(c.arrive(c.ask(service, sport, { flags: ours })).went, "on");
    if (theirs !== undefined) answersDirectly(c, asked, theirs);
    assert.ok(left() <= 10, `${left()} s`);
  }
}

/** A connection to the backend itself, of one port with one by the service, is not begun while that is used. */
export function directBeside(c: Case): void {
  const service = serveDirectly(c, tcp);
  const sport = c.port();
  const asked = c.ask(service, sport);
  c.arrive(asked);
  answersDirectly(c, asked);
  const itself = { address: c.backends[0], port: BACKEND_PORT, proto: tcp };
  const begin = () => c.arrive({ ...asked, bytes: buildPacket(c.toService(itself, sport)), vni: undefined });
  isDropped(begin(), DropReason.noMappingForNatMasquerade);
  isShown(c, answersDirectly(c, asked, Tcp.ack), service, sport);
  c.arrive(c.ask(service, sport, { flags: Tcp.rst }));
  assert.equal(begin().went, "on");
  assert.deepEqual(ends(answersDirectly(c, asked)), [c.backends[0], BACKEND_PORT, c.client, sport]);
}

export function notOurs(c: Case): void {
  const service = c.serve({ proto: udp });
  const bytes = buildPacket(c.toService(service, c.port()));
  const tagged = Uint8Array.of(...bytes.subarray(0, 12), 0x81, 0, 0, 5, ...bytes.subarray(12));
  const out = c.send(tagged);
  assert.equal(out.went, "up");
  assert.deepEqual(out.bytes, tagged);
}
