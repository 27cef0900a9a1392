// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
import koffi from "koffi";
import { checked } from "#kernel/libc.ts";
import type { NetnsRef } from "#kernel/netns.ts";
import { openSocket, SOCK_DGRAM } from "#kernel/socket.ts";
import { parseAddress } from "#model/ip.ts";

const SIOCETHTOOL = 0x8946;
const ETHTOOL_STXCSUM = 0x17;

/** `struct ifreq` with the pointer its `ifr_data` is. */
koffi.struct("ethtool_request", {
  name: koffi.array("char", 16),
  command: "void *",
  rest: koffi.array("uint8_t", 16),
});
const ioctl = koffi
  .load("libc.so.6")
  .func("int ioctl(int, unsigned long, _Inout_ ethtool_request *)") as unknown as (
  fd: number,
  request: number,
  argument: { name: string; command: Uint8Array; rest: number[] },
) => number;

/**
 * Makes a device finish the checksums of what it sends: between the ends of a veth pair they are otherwise left for hardware that is not
 * there, and XDP at the other end, which gets no word of that, would pass half of one on.
 */
export function finishChecksums(device: string, netns: NetnsRef): void {
  const fd = openSocket(parseAddress("0.0.0.0"), SOCK_DGRAM, 0, { netns });
  try {
    const command = new Uint8Array(new Uint32Array([ETHTOOL_STXCSUM, 0]).buffer);
    checked(
      ioctl(fd, SIOCETHTOOL, { name: device, command, rest: new Array<number>(16).fill(0) }),
      `checksums of ${device}`,
    );
  } finally {
    closeSync(fd);
  }
}
