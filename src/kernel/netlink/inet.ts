// SPDX-License-Identifier: Apache-2.0

import { AF_INET, AF_INET6 } from "#kernel/socket.ts";
import {
  type Address,
  addressBytes,
  addressFromBytes,
  family,
  type Prefix,
  prefixAddress,
} from "#model/ip.ts";

/** AF_INET or AF_INET6. */
export function inetFamily(value: Address | Prefix): number {
  return family(value) === 4 ? AF_INET : AF_INET6;
}

/** 4 or 16 bytes: the form of addresses in rtnetlink. */
export function inetBytes(value: Address | Prefix): Uint8Array {
  const address = value.includes("/") ? prefixAddress(value as Prefix) : (value as Address);
  const bytes = addressBytes(address);
  return family(address) === 4 ? bytes.subarray(12) : bytes;
}

/** The inverse of {@link inetBytes}. */
export function inetAddress(bytes: Uint8Array): Address {
  if (bytes.length === 16) return addressFromBytes(bytes);
  const mapped = new Uint8Array(16).fill(0xff, 10, 12);
  mapped.set(bytes.subarray(0, 4), 12);
  return addressFromBytes(mapped);
}

/** `10.0.0.0/8`; without an address the family's default prefix. */
export function inetPrefix(bytes: Uint8Array | undefined, bits: number, domain: number): Prefix {
  if (bytes !== undefined) return `${inetAddress(bytes)}/${bits}` as Prefix;
  return (domain === AF_INET ? "0.0.0.0/0" : "::/0") as Prefix;
}
