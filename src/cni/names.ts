// SPDX-License-Identifier: Apache-2.0
import { createHash, randomBytes } from "node:crypto";
import type { Attachment } from "./request.ts";

/** Names of host sides begin so; devices of that form belong to Weft. */
const PATTERN = /^weft[0-9a-f]{10}$/;

/** Marks routes as Weft's own (RTPROT_*): what lists and prunes routes leaves all others alone. */
export const routeProtocol = 87;

/** The host side's name: the same whenever it is asked for, so DEL finds the device with no memory of ADD. */
export function hostIfname({ containerId, ifname }: Attachment): string {
  return `weft${createHash("sha256").update(`${containerId}/${ifname}`).digest("hex").slice(0, 10)}`;
}

export function isHostIfname(name: string): boolean {
  return PATTERN.test(name);
}

/** A locally administered unicast MAC address. */
export function randomMac(): string {
  const bytes = randomBytes(6);
  bytes[0] = (bytes[0]! & 0xfc) | 0x02;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}
