// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
import { LITTLE_ENDIAN } from "#kernel/endian.ts";
import { checked, libc } from "#kernel/libc.ts";
import { inNetns, type NetnsRef } from "#kernel/netns.ts";
import { openSocket, orClose, SOCK_DGRAM } from "#kernel/socket.ts";
import { type Address, addressBytes } from "#model/ip.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0x80000;
const IPPROTO_IPV6 = 41;
const IPV6_ADD_MEMBERSHIP = 20;

/** A device of a namespace; absent: of this process's. */
export interface DeviceRef {
  readonly ifindex: number;
  readonly netns?: NetnsRef;
}

/** Sends Ethernet frames by a device as they are, headers and all. @throws KernelError E_SYSCALL (`ENETDOWN`, `ENXIO`); WeftError E_NETNS */
export function sendFrames({ ifindex, netns }: DeviceRef, frames: readonly Uint8Array[]): void {
  const open = () => checked(libc.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), "open a packet socket");
  const fd = netns === undefined ? open() : inNetns(netns, open);
  try {
    // struct sockaddr_ll, of protocol 0: the socket receives nothing.
    const name = new Uint8Array(20);
    const view = new DataView(name.buffer);
    view.setUint16(0, AF_PACKET, LITTLE_ENDIAN);
    view.setInt32(4, ifindex, LITTLE_ENDIAN);
    checked(libc.bind(fd, name, name.length), () => `bind a packet socket to device ${ifindex}`);
    for (const frame of frames)
      checked(libc.send(fd, frame, frame.length, 0), () => `send a frame by device ${ifindex}`);
  } finally {
    closeSync(fd);
  }
}

/**
 * Has a device take what is sent to an IPv6 multicast group, and switches bring it (MLD), until the file descriptor returned is closed.
 * @throws KernelError E_SYSCALL (`EADDRINUSE`: the socket is in it already); WeftError E_NETNS
 */
export function joinGroup({ ifindex, netns }: DeviceRef, group: Address): number {
  const fd = openSocket(group, SOCK_DGRAM, 0, netns === undefined ? {} : { netns });
  return orClose(fd, () => {
    const request = new Uint8Array(20);
    request.set(addressBytes(group));
    new DataView(request.buffer).setInt32(16, ifindex, LITTLE_ENDIAN);
    const join = () => libc.setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, request, request.length);
    checked(join(), () => `join ${group} on device ${ifindex}`);
    return fd;
  });
}
