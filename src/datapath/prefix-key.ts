// SPDX-License-Identifier: Apache-2.0
import { family, type Prefix, prefixAddress, prefixBits128 } from "#model/ip.ts";
import type { IpcacheKey } from "./layouts/ipcache-key.ts";

/** The key of a prefix in a map of longest prefixes (`struct ipcache_key`). */
export function prefixKey(prefix: Prefix): IpcacheKey {
  return { prefixlen: prefixBits128(prefix), addr: prefixAddress(prefix) };
}

/** The inverse: how the desired table names an element. */
export function prefixOfKey(key: IpcacheKey): Prefix {
  return `${key.addr}/${family(key.addr) === 4 ? key.prefixlen - 96 : key.prefixlen}` as Prefix;
}
