// SPDX-License-Identifier: Apache-2.0
import { type Address, addressFromBytes } from "#model/ip.ts";

/**
 * Where the fields of `struct flow_event` (bpf/lib/event.h) stand, for reading single ones without decoding a record.
 * `record.test.ts` holds them against the generated layout.
 */
export const EventField = {
  time: 0,
  bytes: 8,
  saddr: 16,
  daddr: 32,
  packets: 48,
  length: 52,
  srcIdentity: 56,
  dstIdentity: 60,
  ifindex: 64,
  frontend: 68,
  egressRule: 72,
  ingressRule: 76,
  sport: 80,
  dport: 82,
  srcEndpoint: 84,
  dstEndpoint: 86,
  line: 88,
  file: 90,
  type: 91,
  reason: 92,
  point: 93,
  proto: 94,
  tcpFlags: 95,
  flags: 96,
  tunnel: 98,
} as const;

export const eventSize = 104;

/** A slot of the ring: the record as the kernel wrote it (time made wall time), then what it referred to when it was seen. */
export const SlotField = {
  srcParty: eventSize,
  dstParty: eventSize + 4,
  srcService: eventSize + 8,
  dstService: eventSize + 12,
} as const;

export const slotSize = 120;

/** `enum event_flag`. */
export const EventFlag = {
  reply: 1,
  ipv6: 2,
  ingress: 4,
  egressJudged: 8,
  ingressJudged: 16,
  first: 32,
  last: 64,
  audit: 128,
  explicitDeny: 256,
  dnat: 512,
  snat: 1024,
} as const;

/** Key of an address in a map: the number of an IPv4 address, a text of eight code units for IPv6. */
export type AddressKey = number | string;

/** The key of the 16 bytes at the offset. A v4-mapped address is an IPv4 address. */
export function addressKeyAt(view: DataView, offset: number): AddressKey {
  if (
    view.getUint32(offset + 8, true) === 0xffff0000 &&
    view.getUint32(offset + 4) === 0 &&
    view.getUint32(offset) === 0
  ) {
    return view.getUint32(offset + 12);
  }
  return String.fromCharCode(
    view.getUint16(offset),
    view.getUint16(offset + 2),
    view.getUint16(offset + 4),
    view.getUint16(offset + 6),
    view.getUint16(offset + 8),
    view.getUint16(offset + 10),
    view.getUint16(offset + 12),
    view.getUint16(offset + 14),
  );
}

/** Points at one slot; moved along, not made anew, while a request looks through the ring. */
export class RecordCursor {
  readonly view: DataView;
  readonly #bytes: Uint8Array;
  offset = 0;
  sequence = 0;

  constructor(view: DataView) {
    this.view = view;
    this.#bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  }

  u8(field: number): number {
    return this.view.getUint8(this.offset + field);
  }

  u16(field: number): number {
    return this.view.getUint16(this.offset + field, true);
  }

  /** A port, or type or code of ICMP: big-endian in the record. */
  port(field: number): number {
    return this.view.getUint16(this.offset + field);
  }

  u32(field: number): number {
    return this.view.getUint32(this.offset + field, true);
  }

  u64(field: number): bigint {
    return this.view.getBigUint64(this.offset + field, true);
  }

  address(field: number): Address {
    return addressFromBytes(this.#bytes, this.offset + field);
  }

  has(flag: number): boolean {
    return (this.u16(EventField.flags) & flag) !== 0;
  }

  /** Nanoseconds since the epoch. */
  get timeNs(): bigint {
    return this.u64(EventField.time);
  }

  get type(): number {
    return this.u8(EventField.type);
  }

  get proto(): number {
    return this.u8(EventField.proto);
  }
}
