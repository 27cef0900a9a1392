// SPDX-License-Identifier: Apache-2.0
import ipaddr from "ipaddr.js";
import { WeftError } from "#lib/errors.ts";

/**
 * An IP address in canonical text (dotted IPv4, RFC 5952 IPv6; a v4-mapped address is written as IPv4).
 * Being canonical, two equal addresses are the same string: usable as a map key.
 */
export type Address = string & { readonly __address: true };

/** A CIDR prefix in canonical text, host bits zero: `10.0.0.0/8`, `fd00::/64`. */
export type Prefix = string & { readonly __prefix: true };

export type Family = 4 | 6;

/** @throws WeftError E_ADDRESS for anything but one IPv4 or IPv6 address (no zone, no port, no shorthand). */
export function parseAddress(text: string): Address {
  if (v4Bits(text) >= 0) return text as Address;
  if (
    !ipaddr.IPv4.isValidFourPartDecimal(text) &&
    !(text.includes(":") && ipaddr.IPv6.isValid(text) && !text.includes("%"))
  ) {
    throw new WeftError("E_ADDRESS", `"${text}" is not an IP address`);
  }
  return ipaddr.process(text).toString() as Address;
}

/** The 32 bits of an IPv4 address in canonical text; -1: it is something else. By hand: services have hundreds of thousands of them. */
export function v4Bits(text: string): number {
  let bits = 0;
  let part = -1;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit === -2) {
      if (part < 0 || ++dots > 3) return -1;
      bits = bits * 256 + part;
      part = -1;
    } else {
      // A zero in front is not canonical.
      if (digit < 0 || digit > 9 || part === 0) return -1;
      part = part < 0 ? digit : part * 10 + digit;
      if (part > 255) return -1;
    }
  }
  return dots === 3 && part >= 0 ? bits * 256 + part : -1;
}

export function isAddress(text: string): text is Address {
  try {
    return parseAddress(text) === text;
  } catch {
    return false;
  }
}

/** @throws WeftError E_PREFIX; host bits are cleared (`10.1.2.3/8` is `10.0.0.0/8`). */
export function parsePrefix(text: string): Prefix {
  const slash = text.lastIndexOf("/");
  const bitsText = text.slice(slash + 1);
  try {
    if (slash < 0 || !/^\d{1,3}$/.test(bitsText)) throw new WeftError("E_PREFIX", "no prefix length");
    const address = parseAddress(text.slice(0, slash));
    return prefixOf(address, Number(bitsText));
  } catch (cause) {
    throw new WeftError("E_PREFIX", `"${text}" is not a CIDR prefix`, { cause });
  }
}

/** The prefix of the given length around an address. @throws WeftError E_PREFIX when the length does not fit the family. */
export function prefixOf(address: Address, bits: number): Prefix {
  const width = family(address) === 4 ? 32 : 128;
  if (!Number.isInteger(bits) || bits < 0 || bits > width) {
    throw new WeftError("E_PREFIX", `/${bits} is not a prefix length of ${address}`);
  }
  const raw = rawBytes(address);
  for (let i = 0; i < raw.length; i++) {
    const keep = Math.min(8, Math.max(0, bits - i * 8));
    raw[i] = raw[i]! & (0xff << (8 - keep));
  }
  return `${fromRaw(raw)}/${bits}` as Prefix;
}

/** The prefix that holds just this address. */
export function hostPrefix(address: Address): Prefix {
  return `${address}/${family(address) === 4 ? 32 : 128}` as Prefix;
}

export function family(value: Address | Prefix): Family {
  return value.includes(":") ? 6 : 4;
}

export function prefixAddress(prefix: Prefix): Address {
  return prefix.slice(0, prefix.lastIndexOf("/")) as Address;
}

/** Prefix length in the prefix's own family (0..32 or 0..128). */
export function prefixBits(prefix: Prefix): number {
  return Number(prefix.slice(prefix.lastIndexOf("/") + 1));
}

/** Prefix length as the datapath counts it, over 16 bytes: IPv4 has 96 bits more. */
export function prefixBits128(prefix: Prefix): number {
  return prefixBits(prefix) + (family(prefix) === 4 ? 96 : 0);
}

/** True when `inner` (an address or a prefix) lies wholly inside `outer`; different families never do. */
export function contains(outer: Prefix, inner: Address | Prefix): boolean {
  const slash = inner.indexOf("/");
  const address = (slash < 0 ? inner : inner.slice(0, slash)) as Address;
  if (family(outer) !== family(address)) return false;
  const bits = prefixBits(outer);
  if (slash >= 0 && Number(inner.slice(slash + 1)) < bits) return false;
  return prefixOf(address, bits) === outer;
}

/** 16 bytes, IPv4 as v4-mapped: the form of every map key. */
export function addressBytes(address: Address): Uint8Array {
  const raw = rawBytes(address);
  if (raw.length === 16) return raw;
  const out = new Uint8Array(16);
  out[10] = out[11] = 0xff;
  out.set(raw, 12);
  return out;
}

/** The inverse of {@link addressBytes}; 16 bytes from `offset`. */
export function addressFromBytes(bytes: Uint8Array, offset = 0): Address {
  let mapped = bytes[offset + 10] === 0xff && bytes[offset + 11] === 0xff;
  for (let i = 0; mapped && i < 10; i++) mapped = bytes[offset + i] === 0;
  return fromRaw(bytes.subarray(mapped ? offset + 12 : offset, offset + 16));
}

/** The address `n` places after the prefix's first one. @throws WeftError E_PREFIX when it lies outside. */
export function nthAddress(prefix: Prefix, n: number): Address {
  const raw = rawBytes(prefixAddress(prefix));
  let carry = n;
  for (let i = raw.length - 1; i >= 0 && carry > 0; i--) {
    carry += raw[i]!;
    raw[i] = carry & 0xff;
    carry = Math.floor(carry / 256);
  }
  const address = fromRaw(raw);
  if (carry > 0 || !contains(prefix, address)) {
    throw new WeftError("E_PREFIX", `${prefix} has no address number ${n}`);
  }
  return address;
}

/** The subnet of that length `n` places after the prefix's first one. @throws WeftError E_PREFIX when it lies outside. */
export function nthSubnet(prefix: Prefix, bits: number, n: number): Prefix {
  const raw = rawBytes(prefixAddress(prefix));
  const width = raw.length * 8;
  if (bits < prefixBits(prefix) || bits > width || BigInt(n) >> BigInt(bits - prefixBits(prefix)) !== 0n) {
    throw new WeftError("E_PREFIX", `${prefix} has no /${bits} number ${n}`);
  }
  let value = BigInt(n) << BigInt(width - bits);
  for (let i = raw.length - 1; i >= 0; i--) {
    raw[i] = raw[i]! | Number(value & 0xffn);
    value >>= 8n;
  }
  return `${fromRaw(raw)}/${bits}` as Prefix;
}

/** Which of the prefix's subnets of that length `inner` (of the same family and inside) starts: the inverse of {@link nthSubnet}. */
export function subnetNumber(prefix: Prefix, bits: number, inner: Prefix): number {
  const number = (of: Prefix) => addressNumber(prefixAddress(of));
  const width = family(prefix) === 4 ? 32 : 128;
  return Number((number(inner) - number(prefix)) >> BigInt(width - bits));
}

/** How many addresses a prefix holds (a float above 2^53). */
export function prefixSize(prefix: Prefix): number {
  return 2 ** ((family(prefix) === 4 ? 32 : 128) - prefixBits(prefix));
}

/** The address as a number of its own family (32 or 128 bits): for ranges that are no prefixes. */
export function addressNumber(address: Address): bigint {
  return rawBytes(address).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

/** The inverse of {@link addressNumber}. @throws WeftError E_ADDRESS when the family has no such number */
export function addressOfNumber(of: Family, number: bigint): Address {
  const raw = new Uint8Array(of === 4 ? 4 : 16);
  let rest = number;
  for (let i = raw.length - 1; i >= 0; i--) {
    raw[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  if (rest !== 0n) throw new WeftError("E_ADDRESS", `IPv${of} has no address number ${number}`);
  return fromRaw(raw);
}

function rawBytes(address: Address): Uint8Array {
  const bits = v4Bits(address);
  if (bits >= 0) return Uint8Array.of(bits >>> 24, bits >>> 16, bits >>> 8, bits);
  return Uint8Array.from(ipaddr.parse(address).toByteArray());
}

function fromRaw(raw: Uint8Array): Address {
  return (raw.length === 4 ? raw.join(".") : ipv6Text(raw)) as Address;
}

/** RFC 5952 text by hand: flow records need it some 100,000 times a second, and a general library takes 2 µs for it. */
function ipv6Text(raw: Uint8Array): string {
  const word = (i: number) => (raw[i * 2]! << 8) | raw[i * 2 + 1]!;
  // The first of the longest runs of two or more zero words becomes "::".
  let from = 8;
  let length = 1;
  for (let i = 0; i < 8; ) {
    let end = i;
    while (end < 8 && word(end) === 0) end++;
    if (end - i > length) {
      from = i;
      length = end - i;
    }
    i = end + 1;
  }
  let text = "";
  for (let i = 0; i < 8; i++) {
    if (i === from) {
      text += "::";
      i += length - 1;
    } else {
      text += (text === "" || text.endsWith(":") ? "" : ":") + word(i).toString(16);
    }
  }
  return text;
}
