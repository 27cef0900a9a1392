// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";

/** The six bytes of `aa:bb:cc:dd:ee:ff`. @throws WeftError E_MAC */
export function macBytes(mac: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac))
    throw new WeftError("E_MAC", `"${mac}" is not a MAC address`);
  return Uint8Array.from(mac.split(":"), (part) => Number.parseInt(part, 16));
}

/** Lower case, colons; any length. */
export function macText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}
