// SPDX-License-Identifier: Apache-2.0
import { CniError } from "./errors.ts";

/** The shim's request: what the runtime gave to the plugin. */
export interface Frame {
  /** `CNI_*` variables. */
  readonly environment: ReadonlyMap<string, string>;
  /** stdin, unparsed. */
  readonly config: string;
}

/** 1 MiB of configuration and 64 KiB of variables, as the shim bounds them. */
export const MAX_FRAME_BYTES = (1 << 20) + (1 << 16) + 1;

/**
 * Takes a whole request out of what came so far: u32 length (big endian), variables each ended by a zero byte, one
 * more zero byte, configuration. Undefined: not all there yet.
 * @throws CniError cannotDecode
 */
export function decodeFrame(bytes: Uint8Array): Frame | undefined {
  if (bytes.length < 4) return undefined;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  if (length > MAX_FRAME_BYTES)
    throw new CniError("cannotDecode", `a request of ${length} bytes is too long`);
  if (bytes.length < 4 + length) return undefined;
  const body = bytes.subarray(4, 4 + length);
  const environment = new Map<string, string>();
  const decoder = new TextDecoder();
  for (let at = 0; ; ) {
    const end = body.indexOf(0, at);
    if (end < 0) throw new CniError("cannotDecode", "the request's variables have no end");
    if (end === at) return { environment, config: decoder.decode(body.subarray(end + 1)) };
    const text = decoder.decode(body.subarray(at, end));
    const equals = text.indexOf("=");
    if (equals <= 0) throw new CniError("cannotDecode", `the request's variable "${text}" has no name`);
    environment.set(text.slice(0, equals), text.slice(equals + 1));
    at = end + 1;
  }
}

/** u32 exit code, u32 length (big endian), text for the plugin's stdout. */
export function encodeAnswer(exitCode: number, text: string): Uint8Array {
  const body = new TextEncoder().encode(text);
  const out = new Uint8Array(8 + body.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, exitCode);
  view.setUint32(4, body.length);
  out.set(body, 8);
  return out;
}
