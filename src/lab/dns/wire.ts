// SPDX-License-Identifier: Apache-2.0

import { WeftError } from "#lib/errors.ts";
import { type Address, addressBytes, addressFromBytes, family } from "#model/ip.ts";

/** DNS messages (RFC 1035, RFC 2782), as far as a cluster's DNS needs them: one question, A, AAAA, SRV, CNAME, PTR. */
export const RecordType = { A: 1, CNAME: 5, PTR: 12, AAAA: 28, SRV: 33, ANY: 255 } as const;
export const ResponseCode = {
  ok: 0,
  formatError: 1,
  serverFailure: 2,
  nxDomain: 3,
  notImplemented: 4,
} as const;

export interface Question {
  /** Lower case, without the final dot. */
  readonly name: string;
  readonly type: number;
}

export type DnsRecord = { readonly name: string; readonly ttlSec: number } & (
  | { readonly type: "A" | "AAAA"; readonly address: Address }
  | { readonly type: "CNAME" | "PTR"; readonly target: string }
  | {
      readonly type: "SRV";
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
);

export interface DnsMessage {
  readonly id: number;
  readonly response: boolean;
  readonly recursionDesired: boolean;
  readonly truncated: boolean;
  readonly code: number;
  readonly authoritative: boolean;
  readonly question: Question | undefined;
  readonly answers: readonly DnsRecord[];
}

/** Longest UDP answer to a client that said nothing of EDNS. */
export const UDP_LIMIT = 512;
const CLASS_IN = 1;
const HEADER = 12;

export function encodeMessage(message: DnsMessage, limit = 65_535): Buffer {
  const parts: Buffer[] = [Buffer.alloc(HEADER)];
  let size = HEADER;
  let answers = 0;
  let truncated = message.truncated;
  if (message.question) {
    const { name, type } = message.question;
    const tail = Buffer.alloc(4);
    tail.writeUInt16BE(type, 0);
    tail.writeUInt16BE(CLASS_IN, 2);
    const question = Buffer.concat([encodeName(name), tail]);
    parts.push(question);
    size += question.length;
  }
  for (const record of message.answers) {
    const bytes = encodeRecord(record);
    if (size + bytes.length > limit) {
      truncated = true;
      break;
    }
    parts.push(bytes);
    size += bytes.length;
    answers++;
  }
  const header = parts[0]!;
  header.writeUInt16BE(message.id, 0);
  const flags =
    (message.response ? 0x8080 : 0) |
    (message.authoritative ? 0x0400 : 0) |
    (truncated ? 0x0200 : 0) |
    (message.recursionDesired ? 0x0100 : 0) |
    message.code;
  header.writeUInt16BE(flags, 2);
  header.writeUInt16BE(message.question ? 1 : 0, 4);
  header.writeUInt16BE(answers, 6);
  return Buffer.concat(parts);
}

/** @throws WeftError E_DNS for anything that is not one well-formed message with at most one question. */
export function decodeMessage(bytes: Uint8Array): DnsMessage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER) throw malformed("shorter than its header");
  const flags = view.getUint16(2);
  const questions = view.getUint16(4);
  if (questions > 1) throw malformed(`${questions} questions`);
  let at = HEADER;
  let question: Question | undefined;
  if (questions === 1) {
    const name = decodeName(bytes, at);
    if (name.next + 4 > bytes.length) throw malformed("the question is cut off");
    question = { name: name.text.toLowerCase(), type: view.getUint16(name.next) };
    at = name.next + 4;
  }
  const answers: DnsRecord[] = [];
  for (let left = Math.min(view.getUint16(6), 256); left > 0; left--) {
    const { record, next } = decodeRecord(bytes, at);
    if (record) answers.push(record);
    at = next;
  }
  return {
    id: view.getUint16(0),
    response: (flags & 0x8000) !== 0,
    authoritative: (flags & 0x0400) !== 0,
    truncated: (flags & 0x0200) !== 0,
    recursionDesired: (flags & 0x0100) !== 0,
    code: flags & 0x0f,
    question,
    answers,
  };
}

function encodeName(name: string): Buffer {
  const parts: Buffer[] = [];
  for (const label of name.split(".").filter((part) => part !== "")) {
    const bytes = Buffer.from(label, "latin1");
    if (bytes.length > 63) throw malformed(`label "${label.slice(0, 20)}…" is longer than 63 bytes`);
    parts.push(Buffer.of(bytes.length), bytes);
  }
  parts.push(Buffer.of(0));
  const out = Buffer.concat(parts);
  if (out.length > 255) throw malformed("a name is longer than 255 bytes");
  return out;
}

function encodeRecord(record: DnsRecord): Buffer {
  const data = recordData(record);
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(RecordType[record.type], 0);
  fixed.writeUInt16BE(CLASS_IN, 2);
  fixed.writeUInt32BE(record.ttlSec, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([encodeName(record.name), fixed, data]);
}

function recordData(record: DnsRecord): Buffer {
  switch (record.type) {
    case "A":
    case "AAAA": {
      const bytes = addressBytes(record.address);
      return Buffer.from(family(record.address) === 4 ? bytes.subarray(12) : bytes);
    }
    case "CNAME":
    case "PTR":
      return encodeName(record.target);
    case "SRV": {
      const fixed = Buffer.alloc(6);
      fixed.writeUInt16BE(record.priority, 0);
      fixed.writeUInt16BE(record.weight, 2);
      fixed.writeUInt16BE(record.port, 4);
      return Buffer.concat([fixed, encodeName(record.target)]);
    }
  }
}

/** `next`: where the bytes after the record begin. A record of a type we do not know is skipped. */
function decodeRecord(bytes: Uint8Array, start: number): { record: DnsRecord | undefined; next: number } {
  const name = decodeName(bytes, start);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data = name.next + 10;
  if (data > bytes.length) throw malformed("a record is cut off");
  const type = view.getUint16(name.next);
  const next = data + view.getUint16(name.next + 8);
  if (next > bytes.length) throw malformed("a record's data is cut off");
  const common = { name: name.text.toLowerCase(), ttlSec: view.getUint32(name.next + 4) };
  let record: DnsRecord | undefined;
  if (type === RecordType.A && next - data === 4) {
    record = { ...common, type: "A", address: Buffer.from(bytes.subarray(data, next)).join(".") as Address };
  } else if (type === RecordType.AAAA && next - data === 16) {
    record = { ...common, type: "AAAA", address: addressFromBytes(bytes, data) };
  } else if (type === RecordType.CNAME || type === RecordType.PTR) {
    const target = decodeName(bytes, data).text;
    record = { ...common, type: type === RecordType.PTR ? "PTR" : "CNAME", target };
  } else if (type === RecordType.SRV && next - data > 6) {
    const [priority, weight, port] = [
      view.getUint16(data),
      view.getUint16(data + 2),
      view.getUint16(data + 4),
    ];
    record = { ...common, type: "SRV", priority, weight, port, target: decodeName(bytes, data + 6).text };
  }
  return { record, next };
}

/** Follows compression pointers, backwards only: so it always ends. */
function decodeName(bytes: Uint8Array, start: number): { text: string; next: number } {
  const labels: string[] = [];
  let at = start;
  let next = -1;
  let length = 0;
  for (;;) {
    const size = bytes[at];
    if (size === undefined) throw malformed("a name is cut off");
    if (size === 0) break;
    if (size >= 0xc0) {
      const low = bytes[at + 1];
      const target = ((size & 0x3f) << 8) | (low ?? 0);
      if (low === undefined || target >= at) throw malformed("a compression pointer does not point back");
      if (next < 0) next = at + 2;
      at = target;
      continue;
    }
    if (size > 63 || at + 1 + size > bytes.length) throw malformed("a label is cut off");
    length += size + 1;
    if (length > 254) throw malformed("a name is longer than 255 bytes");
    labels.push(Buffer.from(bytes.subarray(at + 1, at + 1 + size)).toString("latin1"));
    at += size + 1;
  }
  return { text: labels.join("."), next: next < 0 ? at + 1 : next };
}

function malformed(why: string): WeftError {
  return new WeftError("E_DNS", `not a DNS message: ${why}`);
}
