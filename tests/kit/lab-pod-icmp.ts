// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
import { encodeEcho, internetChecksum } from "#kernel/icmp.ts";
import { checked, libc } from "#kernel/libc.ts";
import { encodeSockaddr, openSocket, SOCK_RAW, setOption } from "#kernel/socket.ts";
import { addressBytes, addressFromBytes, type Family, family, parseAddress } from "#model/ip.ts";

export interface PingOptions {
  readonly address: string;
  /** Of data behind the ICMP header; default 24. */
  readonly bytes?: number;
  readonly ttl?: number;
  /** Send it whole, however long, and let the network say no. */
  readonly dontFragment?: boolean;
  readonly timeoutMs?: number;
}

export interface IcmpAnswer {
  readonly kind: "reply" | "time exceeded" | "too big" | "unreachable" | "none";
  /** Who says so (IPv4; a raw IPv6 socket does not tell). */
  readonly from: string;
  /** With `too big`. */
  readonly mtu: number;
}

const protocols = { 4: 1, 6: 58 } as const;
const levels = { 4: 0, 6: 41 } as const;
/** IP_TTL, IPV6_UNICAST_HOPS. */
const ttlOptions = { 4: 2, 6: 16 } as const;
/** IP_MTU_DISCOVER, IPV6_MTU_DISCOVER; 3 (PROBE): never fragment, never believe a path MTU. */
const discoverOptions = { 4: 10, 6: 23 } as const;
const NO_ANSWER: IcmpAnswer = { kind: "none", from: "", mtu: 0 };
/** RFC 792 and RFC 4443. */
const kinds: Record<Family, Record<number, IcmpAnswer["kind"]>> = {
  4: { 0: "reply", 3: "unreachable", 11: "time exceeded" },
  6: { 129: "reply", 1: "unreachable", 2: "too big", 3: "time exceeded" },
};
let lastId = process.pid & 0x7fff;

/** Opens a raw socket that only talks with one address. */
export function icmpSocket(text: string): { fd: number; family: Family } {
  const address = parseAddress(text);
  return { fd: openSocket(address, SOCK_RAW, protocols[family(address)]), family: family(address) };
}

export function sendEcho(fd: number, to: string, packet: Uint8Array): void {
  const name = encodeSockaddr(parseAddress(to), 0);
  // A second connect only sets the destination again; errors of earlier packets stay with the socket.
  libc.connect(fd, name, name.length);
  libc.send(fd, packet, packet.length, 0);
}

export function echo(of: Family, id: number, sequence: number, bytes = 24): Uint8Array {
  const base = encodeEcho(of, id, sequence);
  const packet = new Uint8Array(8 + bytes);
  packet.set(base.subarray(0, 8));
  if (of === 4) {
    packet.fill(0, 2, 4);
    new DataView(packet.buffer).setUint16(2, internetChecksum(packet));
  }
  return packet;
}

/** One echo request and what comes of it. */
export async function ping(options: PingOptions): Promise<IcmpAnswer> {
  const { address, bytes = 24, ttl, dontFragment, timeoutMs = 1_500 } = options;
  const { fd, family: of } = icmpSocket(address);
  // Errors come from routers on the way: they are only heard by a socket that is not bound to the target.
  const { fd: ears } = icmpSocket(address);
  const id = ++lastId & 0xffff;
  try {
    if (ttl !== undefined) setOption(fd, levels[of], ttlOptions[of], ttl);
    if (dontFragment) setOption(fd, levels[of], discoverOptions[of], 3);
    sendEcho(fd, address, echo(of, id, 1, bytes));
    const endMs = performance.now() + timeoutMs;
    while (performance.now() < endMs) {
      for (const packet of receive(ears)) {
        const answer = read(of, packet, id);
        if (answer) return answer;
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return NO_ANSWER;
  } finally {
    closeSync(fd);
    closeSync(ears);
  }
}

/** Everything a socket holds now. */
export function* receive(fd: number): Generator<Uint8Array> {
  const buffer = new Uint8Array(65_536);
  for (;;) {
    const length = libc.recv(fd, buffer, buffer.length, 0);
    if (length < 0) return;
    yield buffer.slice(0, length);
  }
}

function read(of: Family, packet: Uint8Array, id: number): IcmpAnswer | undefined {
  const at = of === 4 ? (packet[0]! & 0x0f) * 4 : 0;
  const view = new DataView(packet.buffer, packet.byteOffset);
  let kind = kinds[of][packet[at]!];
  if (kind === undefined || packet.length < at + 8) return undefined;
  // An error carries the packet it is about: behind that one's IP header stands our own ICMP header.
  const inner = kind === "reply" ? at : at + 8 + (of === 4 ? (packet[at + 8]! & 0x0f) * 4 : 40);
  if (packet.length < inner + 6 || view.getUint16(inner + 4) !== id) return undefined;
  if (of === 4 && kind === "unreachable" && packet[at + 1] === 4) kind = "too big";
  const mtu = kind !== "too big" ? 0 : of === 4 ? view.getUint16(at + 6) : view.getUint32(at + 4);
  return { kind, from: of === 4 ? v4At(packet, 12) : "", mtu };
}

function v4At(packet: Uint8Array, at: number): string {
  const mapped = new Uint8Array(16).fill(0xff, 10, 12);
  mapped.set(packet.subarray(at, at + 4), 12);
  return addressFromBytes(mapped);
}

export interface SpoofOptions {
  /** Whose address to write into the packet. */
  readonly source: string;
  readonly destination: string;
  readonly port: number;
}

/** Sends a UDP datagram that says it comes from somebody else. */
export function spoof({ source, destination, port }: SpoofOptions): void {
  const to = parseAddress(destination);
  const of = family(to);
  const fd = openSocket(to, SOCK_RAW, 255);
  try {
    // IP_HDRINCL, IPV6_HDRINCL: the header is ours.
    setOption(fd, levels[of], of === 4 ? 3 : 36, 1);
    const name = encodeSockaddr(to, 0);
    checked(libc.connect(fd, name, name.length), `connect to ${destination}`);
    const packet = of === 4 ? datagram4(source, destination, port) : datagram6(source, destination, port);
    checked(libc.send(fd, packet, packet.length, 0), `send to ${destination}`);
  } finally {
    closeSync(fd);
  }
}

function udpHeader(port: number): Uint8Array {
  const udp = new Uint8Array(12);
  const view = new DataView(udp.buffer);
  view.setUint16(0, 40_000);
  view.setUint16(2, port);
  view.setUint16(4, udp.length);
  return udp;
}

function datagram4(source: string, destination: string, port: number): Uint8Array {
  const packet = new Uint8Array(32);
  packet.set([0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17]);
  packet.set(addressBytes(parseAddress(source)).subarray(12), 12);
  packet.set(addressBytes(parseAddress(destination)).subarray(12), 16);
  new DataView(packet.buffer).setUint16(10, internetChecksum(packet.subarray(0, 20)));
  packet.set(udpHeader(port), 20);
  return packet;
}

function datagram6(source: string, destination: string, port: number): Uint8Array {
  const packet = new Uint8Array(52);
  packet.set([0x60, 0, 0, 0, 0, 12, 17, 64]);
  packet.set(addressBytes(parseAddress(source)), 8);
  packet.set(addressBytes(parseAddress(destination)), 24);
  packet.set(udpHeader(port), 40);
  return packet;
}
