// SPDX-License-Identifier: Apache-2.0

import { LITTLE_ENDIAN } from "#kernel/endian.ts";
import { WeftError } from "#lib/errors.ts";

/**
 * The bytes of netlink (RFC 3549, `linux/netlink.h`): messages of a 16-byte header, a fixed family part and
 * attributes (16-bit length, 16-bit type, value, padding to 4). Host byte order except where a value says otherwise.
 */

const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
const ATTRIBUTE_HEADER = 4;
export const MESSAGE_HEADER = 16;

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Everything behind the header. */
  readonly payload: Uint8Array;
}

/** Attributes by type; of two with one type the last counts, as in the kernel. */
export type Attributes = ReadonlyMap<number, Uint8Array>;

/** Builds one message part by part. Grows as needed; {@link MessageWriter.finish} returns a copy of what was written. */
export class MessageWriter {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  u8(value: number): this {
    this.#view.setUint8(this.#take(1), value);
    return this;
  }

  u16(value: number): this {
    this.#view.setUint16(this.#take(2), value, LITTLE_ENDIAN);
    return this;
  }

  u32(value: number): this {
    this.#view.setUint32(this.#take(4), value, LITTLE_ENDIAN);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#take(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** One attribute with the value as it is. @throws WeftError E_NETLINK_FORMAT above 65,531 bytes */
  attribute(type: number, value: Uint8Array): this {
    this.#header(type, value.length);
    this.bytes(value);
    return this.#pad();
  }

  attributeU8(type: number, value: number): this {
    return this.attribute(type, Uint8Array.of(value));
  }

  attributeU16(type: number, value: number): this {
    this.#header(type, 2);
    this.u16(value);
    return this.#pad();
  }

  attributeU32(type: number, value: number): this {
    this.#header(type, 4);
    return this.u32(value);
  }

  /** In network byte order, as ports are. */
  attributeBe16(type: number, value: number): this {
    return this.attribute(type, Uint8Array.of(value >>> 8, value & 0xff));
  }

  attributeBe64(type: number, value: bigint): this {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value);
    return this.attribute(type, bytes);
  }

  /** With a closing zero byte. */
  attributeString(type: number, value: string): this {
    return this.attribute(type, new TextEncoder().encode(`${value}\0`));
  }

  /** An attribute made of what `fill` writes. */
  nested(type: number, fill: (writer: this) => void): this {
    const start = this.#length;
    this.#header(type | NLA_F_NESTED, 0);
    fill(this);
    this.#view.setUint16(start, attributeLength(this.#length - start - ATTRIBUTE_HEADER), LITTLE_ENDIAN);
    return this.#pad();
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #header(type: number, length: number): void {
    this.u16(attributeLength(length)).u16(type);
  }

  #pad(): this {
    this.#take(-this.#length & 3);
    return this;
  }

  #take(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}

function attributeLength(valueLength: number): number {
  const length = valueLength + ATTRIBUTE_HEADER;
  if (length > 0xffff)
    throw new WeftError("E_NETLINK_FORMAT", `a netlink attribute of ${valueLength} bytes is too long`);
  return length;
}

/** Header and payload in one buffer. `payload` is the family part with its attributes. */
export function encodeMessage(
  type: number,
  flags: number,
  sequence: number,
  payload: Uint8Array,
): Uint8Array {
  const out = new Uint8Array(MESSAGE_HEADER + payload.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, out.length, LITTLE_ENDIAN);
  view.setUint16(4, type, LITTLE_ENDIAN);
  view.setUint16(6, flags, LITTLE_ENDIAN);
  view.setUint32(8, sequence, LITTLE_ENDIAN);
  out.set(payload, MESSAGE_HEADER);
  return out;
}

/** Splits a datagram. Payloads are views into `bytes`. @throws WeftError E_NETLINK_FORMAT when it is cut or malformed */
export function decodeMessages(bytes: Uint8Array): Message[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const messages: Message[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < MESSAGE_HEADER) throw malformed("message header", at);
    const length = view.getUint32(at, LITTLE_ENDIAN);
    if (length < MESSAGE_HEADER || length > bytes.length - at) throw malformed("message length", at);
    messages.push({
      type: view.getUint16(at + 4, LITTLE_ENDIAN),
      flags: view.getUint16(at + 6, LITTLE_ENDIAN),
      sequence: view.getUint32(at + 8, LITTLE_ENDIAN),
      payload: bytes.subarray(at + MESSAGE_HEADER, at + length),
    });
    at += align4(length);
  }
  return messages;
}

/** Reads attributes from `offset` to the end. @throws WeftError E_NETLINK_FORMAT */
export function decodeAttributes(bytes: Uint8Array, offset = 0): Attributes {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const attributes = new Map<number, Uint8Array>();
  for (let at = offset; at < bytes.length; ) {
    if (bytes.length - at < ATTRIBUTE_HEADER) throw malformed("attribute header", at);
    const length = view.getUint16(at, LITTLE_ENDIAN);
    if (length < ATTRIBUTE_HEADER || length > bytes.length - at) throw malformed("attribute length", at);
    const type = view.getUint16(at + 2, LITTLE_ENDIAN) & NLA_TYPE_MASK;
    attributes.set(type, bytes.subarray(at + ATTRIBUTE_HEADER, at + length));
    at += align4(length);
  }
  return attributes;
}

/** The attribute as a host-order number of 1, 2 or 4 bytes; undefined when absent. */
export function numberOf(attributes: Attributes, type: number): number | undefined {
  const value = attributes.get(type);
  if (value === undefined) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (value.length === 4) return view.getUint32(0, LITTLE_ENDIAN);
  if (value.length === 2) return view.getUint16(0, LITTLE_ENDIAN);
  if (value.length === 1) return view.getUint8(0);
  throw malformed("number", type);
}

/** The attribute as text up to its zero byte; undefined when absent. */
export function textOf(attributes: Attributes, type: number): string | undefined {
  const value = attributes.get(type);
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
}

/** The attributes inside an attribute; empty when absent. */
export function nestedOf(attributes: Attributes, type: number): Attributes {
  const value = attributes.get(type);
  return value === undefined ? new Map() : decodeAttributes(value);
}

function align4(length: number): number {
  return (length + 3) & ~3;
}

function malformed(what: string, at: number): WeftError {
  return new WeftError("E_NETLINK_FORMAT", `malformed netlink ${what} at ${at}`);
}
