// SPDX-License-Identifier: Apache-2.0
import { badRequest } from "../errors.ts";

/** One field of a protobuf message as it is on the wire. */
export interface WireField {
  readonly number: number;
  /** Varints and fixed numbers. */
  readonly value: bigint;
  /** Length-delimited content. */
  readonly bytes: Uint8Array;
}

const none = new Uint8Array(0);

/** The fields of a message in order. @throws ApiError 400 for a malformed one. */
export function* wireFields(message: Uint8Array): Generator<WireField> {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (at >= message.length) break;
      const byte = message[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw malformed();
  };
  while (at < message.length) {
    const tag = Number(varint());
    const number = tag >>> 3;
    const kind = tag & 7;
    if (kind === 0) yield { number, value: varint(), bytes: none };
    else if (kind === 1 || kind === 5) {
      const size = kind === 1 ? 8 : 4;
      if (at + size > message.length) throw malformed();
      const value = kind === 1 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
      at += size;
      yield { number, value, bytes: none };
    } else if (kind === 2) {
      const size = Number(varint());
      if (size > message.length - at) throw malformed();
      yield { number, value: 0n, bytes: message.subarray(at, at + size) };
      at += size;
    } else throw malformed();
  }
}

export function malformed(): Error {
  return badRequest("couldn't get version/kind; the protobuf body is malformed");
}
