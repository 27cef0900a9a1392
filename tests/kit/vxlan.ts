// SPDX-License-Identifier: Apache-2.0
/** Frames in VXLAN, RFC 7348, as nodes send them to each other. */
import { at } from "./datapath.ts";
import { buildPacket } from "./packet.ts";

export const VXLAN_PORT = 8472;
/** What VXLAN puts in front, by the family of the underlay. */
export const WRAPPING = { v4: 50, v6: 70 } as const;
const HAS_VNI = 0x08000000;

/** A frame as another node's tunnel sends it. */
export function wrap(
  bytes: Uint8Array,
  fields: { underlay: "v4" | "v6"; vni: number; flags?: number },
): Uint8Array {
  const head = new Uint8Array(8);
  const view = new DataView(head.buffer);
  view.setUint32(0, fields.flags ?? HAS_VNI);
  view.setUint32(4, fields.vni << 8);
  const { otherNode, node } = at[fields.underlay];
  const transport = { kind: "udp", sport: 50_000, dport: VXLAN_PORT, checksum: false } as const;
  return buildPacket({ from: otherNode, to: node, transport, payload: Uint8Array.of(...head, ...bytes) });
}

/** The frame inside, and the sender's identity. */
export function unwrap(bytes: Uint8Array, underlay: "v4" | "v6"): { bytes: Uint8Array; vni: number } {
  const length = WRAPPING[underlay];
  const view = new DataView(bytes.buffer, bytes.byteOffset + length - 8);
  return { bytes: bytes.subarray(length), vni: view.getUint32(4) >>> 8 };
}
