// SPDX-License-Identifier: Apache-2.0
import { FlowEventOffset, flowEventLayout } from "#datapath/layouts/flow-event.ts";
import { type Address, addressFromBytes } from "#model/ip.ts";

export const eventSize = flowEventLayout.size;

/** A slot of the ring: the record as the kernel wrote it (time made wall time), then what it referred to when it was seen. */
export const SlotField = {
  srcParty: eventSize,
  dstParty: eventSize + 4,
  srcService: eventSize + 8,
  dstService: eventSize + 12,
} as const;

export const slotSize = 120;

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
    return (this.u16(FlowEventOffset.flags) & flag) !== 0;
  }

  /** Nanoseconds since the epoch. */
  get timeNs(): bigint {
    return this.u64(FlowEventOffset.timeNs);
  }

  get type(): number {
    return this.u8(FlowEventOffset.type);
  }

  get proto(): number {
    return this.u8(FlowEventOffset.proto);
  }
}
