// SPDX-License-Identifier: Apache-2.0
/** How the balancer's features show, packet by packet: what the rows of balancer-scenarios.ts run in their cells. */
import assert from "node:assert/strict";
import { DropReason, LbFlag, LbScope } from "#datapath/layouts/enums.ts";
import { lbAffinityLayout } from "#datapath/layouts/lb-affinity.ts";
import { lbAffinityKeyLayout } from "#datapath/layouts/lb-affinity-key.ts";
import { lbSourceRangeLayout } from "#datapath/layouts/lb-source-range.ts";
import { lbSourceRangeKeyLayout } from "#datapath/layouts/lb-source-range-key.ts";
import { BACKEND_PORT, type Case, type Sent, type Served } from "#kit/balancer.ts";
import { buildFragments, buildPacket, Proto, readFragments, Tcp } from "#kit/packet.ts";
import { parseAddress } from "#model/ip.ts";

const { tcp, udp } = Proto;
export const ends = ({ packet: { source, sport, destination, dport } }: Sent) => [
  source,
  sport,
  destination,
  dport,
];
const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);

/** It goes on to the backend; XDP sends it itself exactly where the backend is another node's. */
export function reaches(c: Case, sent: Sent, backend: string = c.backends[0]): Sent {
  assert.equal(sent.went, "on", `reason ${sent.reason}`);
  assert.deepEqual([sent.packet.destination, sent.packet.dport], [backend, BACKEND_PORT]);
  assert.equal(sent.early, c.hook === "xdp" && c.place === "remote");
  return sent;
}

/** The client sees the service answer, from the address and port that it asked. */
export function isShown(c: Case, back: Sent, service: Served, sport: number): void {
  assert.equal(back.went, "on", `reason ${back.reason}`);
  assert.deepEqual(ends(back), [service.address, service.port, c.client, sport]);
}

export function isDropped(sent: Sent, reason: number): void {
  assert.deepEqual([sent.went, sent.reason], ["dropped", reason]);
}

const isLed = (c: Case, service: Served, backend: string = c.backends[0]) =>
  assert.deepEqual(c.connect(service), { backend, port: BACKEND_PORT });

export function tcpConnection(c: Case): void {
  const service = c.serve({ proto: tcp });
  const sport = c.port();
  const syn = reaches(c, c.ask(service, sport));
  isShown(c, c.answer(syn), service, sport);
  const more = reaches(c, c.ask(service, sport, { flags: Tcp.ack }));
  assert.equal(more.packet.sport, syn.packet.sport, "one source port a connection");
  isShown(c, c.answer(more, { flags: Tcp.ack }), service, sport);
}

export function datagrams(c: Case): void {
  const service = c.serve({ proto: udp });
  const sport = c.port();
  for (let i = 0; i < 2; i++) isShown(c, c.answer(reaches(c, c.ask(service, sport))), service, sport);
}

export function connects(c: Case): void {
  for (const proto of [tcp, udp]) isLed(c, c.serve({ proto }));
}

export function sourceAddress(c: Case): void {
  const service = c.serve({ proto: tcp });
  const { source } = reaches(c, c.ask(service, c.port())).packet;
  assert.equal(source, c.hidden ? c.net.router : c.client);
}

export function spread(c: Case): void {
  const service = c.serve({ proto: udp, backends: c.backends });
  const seen = times(48, () => reached(c, service));
  assert.deepEqual(new Set(seen), new Set(c.backends));
}

const reached = (c: Case, service: Served): string =>
  c.hook === "socket" ? c.connect(service).backend! : c.ask(service, c.port()).packet.destination;

export function weighted(c: Case): void {
  const [one, other] = c.backends;
  const service = c.serve({ proto: udp, backends: [one, other] });
  const heavy = service.backends[1]!.id;
  c.rewrite({ ...service, table: times(16, () => heavy) });
  assert.deepEqual([...new Set(times(24, () => reached(c, service)))], [other]);
}

export function hashed(c: Case): void {
  const first = c.serve({ proto: udp, backends: c.backends, flags: LbFlag.hashed });
  const table = Array.from({ length: 37 }, (_, i) => first.backends[i % 2]!.id);
  c.rewrite({ ...first, table });
  // The same service at another address, as on another node, and an entry nobody remembers.
  const elsewhere = c.rewrite({ ...first, id: first.id + 50_000, address: c.net.external, table });
  const seen = times(24, () => {
    const sport = c.port();
    const [here, there] = [first, elsewhere].map((service) => c.ask(service, sport).packet.destination);
    assert.equal(here, there);
    return here;
  });
  assert.equal(new Set(seen).size, 2);
}

export function affinity(c: Case): void {
  const service = c.serve({ proto: tcp, backends: c.backends, affinitySec: 100 });
  const mine = reached(c, service);
  for (let i = 0; i < 8; i++) assert.equal(reached(c, service), mine);
  const bound = c.node.typed("lb_affinity", lbAffinityKeyLayout, lbAffinityLayout);
  const expire = () => {
    for (const [key, value] of [...bound.entries()])
      if (key.frontend === service.id) bound.set(key, { ...value, seenSec: value.seenSec - 100 });
    return reached(c, service);
  };
  assert.equal(new Set(times(40, expire)).size, 2, "a client comes too late for its backend");
}

export function drains(c: Case): void {
  const service = c.serve({ proto: tcp, backends: c.backends });
  const sport = c.port();
  const [old] = [c.ask(service, sport).packet.destination];
  const stays = c.backends.find((address) => address !== old)!;
  c.keepOnly(service, stays);
  reaches(c, c.ask(service, sport, { flags: Tcp.ack }), old);
  for (let i = 0; i < 8; i++) reaches(c, c.ask(service, c.port()), stays);
}

export function backendGone(c: Case): void {
  const service = c.serve({ proto: udp, backends: c.backends });
  const sport = c.port();
  const old = c.ask(service, sport).packet.destination;
  const stays = c.backends.find((address) => address !== old)!;
  c.keepOnly(service, stays);
  c.forget(service, old);
  isShown(c, c.answer(reaches(c, c.ask(service, sport), stays)), service, sport);
}

/** The EndpointSlice names it no more, but its pod is there; and then no more. */
export function forgotten(c: Case): void {
  const service = c.serve({ proto: tcp, backends: c.backends });
  const sport = c.port();
  const syn = c.ask(service, sport);
  c.answer(syn);
  const old = syn.packet.destination;
  const stays = c.backends.find((address) => address !== old)!;
  c.keepOnly(service, stays);
  c.forget(service, old);
  for (let i = 0; i < 2; i++) {
    const more = c.ask(service, sport, { flags: Tcp.ack });
    assert.deepEqual([more.went, ends(more)], ["on", ends(syn)]);
    isShown(c, c.answer(more, { flags: Tcp.ack }), service, sport);
    reaches(c, c.ask(service, c.port()), stays);
  }
  const back = c.vanish(old);
  assert.equal(c.ask(service, sport, { flags: Tcp.ack }).packet.destination, stays);
  back();
}

export function entryLost(c: Case): void {
  const service = c.serve({ proto: tcp, backends: c.backends });
  for (let i = 0; i < 12; i++) {
    const sport = c.port();
    const syn = c.ask(service, sport);
    c.answer(syn);
    c.lose(service, sport);
    const more = reaches(c, c.ask(service, sport, { flags: Tcp.ack }), syn.packet.destination);
    assert.equal(more.packet.sport, syn.packet.sport);
    isShown(c, c.answer(more, { flags: Tcp.ack }), service, sport);
  }
}

export function twoServices(c: Case): void {
  for (const proto of [tcp, udp]) {
    const services = [c.serve({ proto }), c.serve({ proto })];
    const sport = c.port();
    const sent = services.map((service) => reaches(c, c.ask(service, sport)));
    assert.notEqual(sent[0]!.packet.sport, sent[1]!.packet.sport);
    for (const round of [1, 0, 1]) isShown(c, c.answer(sent[round]!), services[round]!, sport);
  }
}

export function fragments(c: Case): void {
  const service = c.serve({ proto: udp });
  const sport = c.port();
  const payload = Uint8Array.from({ length: 900 }, (_, i) => i & 255);
  const parts = buildFragments(c.toService(service, sport, { payload, id: sport }), 400);
  const seen = parts.map((part) => c.send(part));
  for (const { went, early } of seen)
    assert.deepEqual([went, early], ["on", c.hook === "xdp" && c.place === "remote"]);
  const whole = readFragments(seen.map(({ bytes }) => bytes));
  assert.deepEqual([whole.destination, whole.dport], [c.backends[0], BACKEND_PORT]);
  const answer = { from: whole.destination, to: whole.source, payload, id: sport };
  const transport = { kind: "udp", sport: whole.dport, dport: whole.sport } as const;
  const back = buildFragments({ ...answer, transport }, 400).map((part) =>
    c.fromBackend(part, c.backends[0]),
  );
  const shown = readFragments(back.map(({ bytes }) => bytes));
  assert.deepEqual(
    [shown.source, shown.sport, shown.destination, shown.dport],
    [service.address, service.port, c.client, sport],
  );
}

export function lateFragment(c: Case): void {
  const service = c.serve({ proto: udp });
  const [, later] = buildFragments(
    c.toService(service, c.port(), { payload: new Uint8Array(900), id: c.port() }),
    400,
  );
  const out = c.send(later!);
  if (c.hook === "pod") isDropped(out, DropReason.firstLogicalDatagramFragmentNotFound);
  else assert.equal(out.went, "up", "the stack puts it together");
}

export function nobody(c: Case): void {
  if (c.hook === "socket") {
    assert.deepEqual(c.connect(c.serve({ proto: tcp, backends: [] })), { error: "ECONNREFUSED" });
    return;
  }
  const [t, u] = [c.serve({ proto: tcp, backends: [] }), c.serve({ proto: udp, backends: [] })];
  const sport = c.port();
  const reset = c.ask(t, sport);
  assert.deepEqual([reset.went, ...ends(reset)], ["on", t.address, t.port, c.client, sport]);
  const error = c.ask(u, sport);
  assert.deepEqual(
    [error.packet.type, error.packet.code, error.packet.source, error.packet.about?.dport],
    [c.v6 ? 1 : 3, c.v6 ? 4 : 3, u.address, u.port],
  );
}

export function sourceRanges(c: Case): void {
  const ranges = c.node.typed("lb_source_ranges", lbSourceRangeKeyLayout, lbSourceRangeLayout);
  for (const deny of [0, LbFlag.denyRanges]) {
    const service = c.serve({ proto: tcp, flags: LbFlag.sourceRanges | deny });
    const ask = () => c.ask(service, c.port());
    const [outside, inside] = deny ? ["goes", "refused"] : ["refused", "goes"];
    const expect = (what: string) =>
      what === "goes" ? reaches(c, ask()) : isDropped(ask(), DropReason.deniedByLbSrcRangeCheck);
    expect(outside!);
    ranges.set({ prefixlen: 32 + 128, frontend: service.id, addr: parseAddress(c.client) }, { allowed: 1 });
    expect(inside!);
  }
}

export function rangesAtSocket(c: Case): void {
  assert.deepEqual(c.connect(c.serve({ proto: tcp, flags: LbFlag.sourceRanges })), {}, "left to its packets");
}

/** externalTrafficPolicy Local. */
export function localPolicy(c: Case): void {
  const service = c.serve({ proto: tcp, flags: LbFlag.localOutside, backends: c.net.backends.remote });
  const local: readonly string[] = c.place === "local" ? c.backends : [];
  const entry = { ...service, id: service.id + 50_000, scope: LbScope.local };
  const backends = local.map((address, i) => ({ id: 10 * entry.id + i, address, port: BACKEND_PORT }));
  c.rewrite({ ...entry, flags: local.length > 0 ? 0 : LbFlag.elsewhere, backends });
  const out = c.ask(service, c.port());
  if (local.length === 0) {
    isDropped(out, DropReason.noMatchingLocalContainerFound);
    return;
  }
  assert.deepEqual([out.went, out.packet.source], ["on", c.client], "the client keeps its address");
  assert.ok(local.includes(out.packet.destination));
}

/** The same, asked from inside: all backends. */
export function localPolicyInside(c: Case): void {
  const service = c.serve({ proto: tcp, flags: LbFlag.localOutside });
  c.rewrite({
    ...service,
    id: service.id + 50_000,
    scope: LbScope.local,
    flags: LbFlag.elsewhere,
    backends: [],
  });
  assert.equal(reached(c, service), c.backends[0]);
}

export function clusterIpFromOutside(c: Case): void {
  isDropped(
    c.ask(c.serve({ proto: tcp, address: c.net.vip, type: "ClusterIP" }), c.port()),
    DropReason.isAClusterip,
  );
}

export function hostOnly(c: Case): void {
  const service = c.serve({ proto: tcp, flags: LbFlag.hostOnly });
  if (c.hook === "socket") assert.deepEqual(c.connect(service), {}, "not for pods' processes");
  else assert.notEqual(c.ask(service, c.port()).packet.destination, c.backends[0]);
}

export function lastHop(c: Case): void {
  const service = c.serve({ proto: udp });
  const bytes = buildPacket({ ...c.toService(service, c.port()), ttl: 1 });
  const out = c.send(bytes);
  if (c.place === "local" || c.hook === "pod") assert.equal(out.went, "up", "the stack says so");
  else isDropped(out, DropReason.ttlExceeded);
}
