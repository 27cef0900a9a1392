// SPDX-License-Identifier: Apache-2.0
/** What passes a device, as packet(7) shows it. */
import { closeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { checked, libc } from "#kernel/libc.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { listLinks } from "#kernel/netlink/link.ts";
import { inNetns, type NetnsRef } from "#kernel/netns.ts";
import { receive } from "#kit/lab-pod-icmp.ts";

const AF_PACKET = 17;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
/** ETH_P_ALL, in network order. */
const everything = 0x0300;
const MOST = 10_000;

export interface WirePlace {
  readonly netns: NetnsRef;
  readonly device: string;
}

/** Packets without their Ethernet header that a device sends and receives while the work is done; about 10,000 at most. */
export async function packetsDuring(
  { netns, device }: WirePlace,
  work: () => Promise<void>,
): Promise<Uint8Array[]> {
  const fd = openOn(netns, device);
  const found: Uint8Array[] = [];
  let done = false;
  const reading = (async () => {
    for (;;) {
      const last = done;
      found.push(...receive(fd));
      if (last || found.length >= MOST) return;
      await delay(5);
    }
  })();
  try {
    await work();
  } finally {
    done = true;
    await reading;
    closeSync(fd);
  }
  return found;
}

function openOn(netns: NetnsRef, device: string): number {
  using netlink = openNetlink({ netns });
  const link = [...listLinks(netlink)].find(({ name }) => name === device);
  if (!link) throw new Error(`there is no device ${device}`);
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = inNetns(netns, () => checked(libc.socket(AF_PACKET, type, 0), "open a packet socket"));
  // struct sockaddr_ll
  const name = new Uint8Array(20);
  const view = new DataView(name.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, everything, true);
  view.setInt32(4, link.index, true);
  checked(libc.bind(fd, name, name.length), `bind to ${device}`);
  return fd;
}
