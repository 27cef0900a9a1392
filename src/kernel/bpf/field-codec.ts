// SPDX-License-Identifier: Apache-2.0

import type { Layout } from "#kernel/bpf/layout.ts";
import { WeftError } from "#lib/errors.ts";
import { type Address, addressBytes, addressFromBytes, v4Bits } from "#model/ip.ts";

/** `struct addr` as it stands in keys, where sixteen zero bytes are the address `::`. */
export function readAddress(view: DataView, offset: number): Address {
  // The common case by hand: ::ffff:a.b.c.d is IPv4.
  if (
    view.getUint32(offset + 8) === 0xffff &&
    view.getUint32(offset) === 0 &&
    view.getUint32(offset + 4) === 0
  ) {
    const last = offset + 12;
    return `${view.getUint8(last)}.${view.getUint8(last + 1)}.${view.getUint8(last + 2)}.${view.getUint8(last + 3)}` as Address;
  }
  return addressFromBytes(new Uint8Array(view.buffer, view.byteOffset + offset, 16));
}

/** `struct addr` as it stands in values, where sixteen zero bytes mean that there is none. */
export function readOptionalAddress(view: DataView, offset: number): Address | undefined {
  return isZero(view, offset, 16) ? undefined : readAddress(view, offset);
}

export function writeAddress(view: DataView, offset: number, address: Address | undefined): void {
  if (address === undefined) {
    writeZeros(view, offset, 16);
    return;
  }
  const bits = v4Bits(address);
  if (bits >= 0) {
    view.setUint32(offset, 0);
    view.setUint32(offset + 4, 0);
    view.setUint32(offset + 8, 0xffff);
    view.setUint32(offset + 12, bits);
  } else new Uint8Array(view.buffer, view.byteOffset + offset, 16).set(addressBytes(address));
}

/** Six bytes as `aa:bb:cc:dd:ee:ff`. */
export function readMac(view: DataView, offset: number): string {
  let text = "";
  for (let i = 0; i < 6; i++) {
    text += `${i === 0 ? "" : ":"}${view
      .getUint8(offset + i)
      .toString(16)
      .padStart(2, "0")}`;
  }
  return text;
}

/** @throws WeftError E_MAC */
export function writeMac(view: DataView, offset: number, mac: string): void {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)) {
    throw new WeftError("E_MAC", `"${mac}" is not a MAC address`);
  }
  for (let i = 0; i < 6; i++) view.setUint8(offset + i, Number.parseInt(mac.slice(i * 3, i * 3 + 2), 16));
}

/** Padding. */
export function writeZeros(view: DataView, offset: number, size: number): void {
  for (let i = 0; i < size; i++) view.setUint8(offset + i, 0);
}

function isZero(view: DataView, offset: number, size: number): boolean {
  for (let i = 0; i < size; i += 4) if (view.getUint32(offset + i) !== 0) return false;
  return true;
}

/** A map whose key or value is a bare address. */
export const addressLayout: Layout<Address> = {
  name: "addr",
  size: 16,
  read: readAddress,
  write: writeAddress,
};
