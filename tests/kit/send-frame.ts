// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
import { checked, libc } from "#kernel/libc.ts";

/** Sends a frame by a device, as packet(7) does. */
export function sendFrame(ifindex: number, frame: Uint8Array): void {
  const AF_PACKET = 17;
  const SOCK_RAW = 3;
  const fd = checked(libc.socket(AF_PACKET, SOCK_RAW, 0), "open a packet socket");
  try {
    const address = new Uint8Array(20);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, 0x0300);
    view.setInt32(4, ifindex, true);
    checked(libc.bind(fd, address, address.length), "bind a packet socket");
    checked(libc.send(fd, frame, frame.length, 0), "send a frame");
  } finally {
    closeSync(fd);
  }
}
