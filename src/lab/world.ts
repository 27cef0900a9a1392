// SPDX-License-Identifier: Apache-2.0
import { closeSync, readFileSync } from "node:fs";
import { createServer as createHttp } from "node:http";
import { createServer, type Server } from "node:net";
import { AttachType } from "#kernel/bpf/kinds.ts";
import { attachNetns, attachTcx } from "#kernel/bpf/link.ts";
import { type Collection, loadCollection } from "#kernel/bpf/object.ts";
import { parseObject } from "#kernel/bpf/spec.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { linkIndex } from "#kernel/netlink/link.ts";
import { inNetns, netnsPath, openNetns } from "#kernel/netns.ts";
import { listenTcp } from "#kernel/socket.ts";
import { bpfObject } from "#lib/assets.ts";
import { addressBytes, family, parseAddress } from "#model/ip.ts";
import { BRIDGE, type LabPlan, WORLD } from "./layout.ts";

/**
 * Lets the outside answer: every address that is no node's accepts TCP on every port (and speaks HTTP), echoes UDP and
 * answers pings. Ends, programs included, when disposed of or with the process.
 */
export async function startWorld(plan: LabPlan): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const netns = netnsPath(WORLD);
  const gateways: Record<4 | 6, Uint8Array> = { 4: new Uint8Array(16), 6: new Uint8Array(16) };
  for (const gateway of plan.gateways) gateways[family(gateway)] = addressBytes(gateway);
  const programs = stack.use(
    loadCollection(parseObject(readFileSync(bpfObject("lab-world"))), {
      rodata: { gateway_v4: gateways[4], gateway_v6: gateways[6] },
    }),
  );
  for (const [index, address] of ["0.0.0.0", "::"].entries()) {
    if (!plan.gateways.some((gateway) => gateway.includes(":") === (index === 1))) continue;
    stack.use(await listen(netns, address, (fd) => putListener(programs, index, fd)));
  }
  attach(stack, programs, netns);
  return stack.move();
}

function putListener(programs: Collection, index: number, fd: number): void {
  const value = new Uint8Array(8);
  new DataView(value.buffer).setBigUint64(0, BigInt(fd), true);
  programs.map("listeners").update(Uint8Array.of(index, 0, 0, 0), value);
}

function attach(stack: AsyncDisposableStack, programs: Collection, netns: string): void {
  const fd = openNetns(netns);
  try {
    stack.use(attachNetns({ program: programs.program("any_port"), fd, attachType: AttachType.skLookup }));
  } finally {
    closeSync(fd);
  }
  using netlink = openNetlink({ netns });
  const ifindex = linkIndex(netlink, BRIDGE);
  // A device's index means nothing outside its namespace.
  const link = inNetns(netns, () =>
    attachTcx({ program: programs.program("echo_udp"), ifindex, direction: "ingress" }),
  );
  stack.use(link);
}

/** A listener on some port: connections for all the others come to it by the program. */
async function listen(netns: string, address: string, use: (fd: number) => void): Promise<AsyncDisposable> {
  const http = createHttp((request, response) => {
    request.resume();
    const { localAddress, localPort, remoteAddress } = request.socket;
    response.end(`the world outside, as ${localAddress}:${localPort}, to ${remoteAddress}\n`);
  });
  const server: Server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.setTimeout(60_000, () => socket.destroy());
    // Counting the connection in HTTP is enough: who speaks something else has at least connected.
    http.emit("connection", socket);
  });
  const fd = listenTcp(parseAddress(address), 0, { netns, v6Only: true });
  use(fd);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ fd }, () => resolve());
  });
  return {
    async [Symbol.asyncDispose]() {
      http.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
