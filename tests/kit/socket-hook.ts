// SPDX-License-Identifier: Apache-2.0
/** The socket hooks on a cgroup, over the maps of a node: which backend a process is led to, without a packet. */
import { closeSync, openSync } from "node:fs";
import { constants } from "node:os";
import { lbSockLayout } from "#datapath/layouts/lb-sock.ts";
import { lbSockKeyLayout } from "#datapath/layouts/lb-sock-key.ts";
import { attachCgroup } from "#kernel/bpf/link.ts";
import { loadCollection } from "#kernel/bpf/object.ts";
import { cgroupOf, createCgroup, joinCgroup, removeCgroup } from "#kernel/cgroup.ts";
import { lastErrno, libc } from "#kernel/libc.ts";
import { encodeSockaddr, openSocket, SOCK_DGRAM, SOCK_STREAM } from "#kernel/socket.ts";
import { parseAddress } from "#model/ip.ts";
import { compiledSpec } from "./bpf-object.ts";
import type { TestNode } from "./datapath.ts";
import { Proto } from "./packet.ts";

/** Where a socket was led: a backend, or an error's name; neither: on to the address itself. */
export interface Led {
  readonly backend?: string;
  readonly port?: number;
  readonly error?: string;
}

const shared = [
  "lb_frontends",
  "lb_slots",
  "lb_backends",
  "lb_tables",
  "lb_affinity",
  "lb_source_ranges",
  "lb_socks",
];

/** Puts this very process under the hooks: the sockets it connects are asked for. Close it when done. */
export function hookSockets(node: TestNode, config: Uint8Array) {
  const stack = new AsyncDisposableStack();
  const spec = compiledSpec("bpf/sock.bpf.c");
  const maps = Object.fromEntries(shared.map((name) => [name, node.map(name)]));
  const loaded = loadCollection(spec, { maps, rodata: { config } });
  stack.use(loaded);
  const cgroup = createCgroup(`c-pkt-${process.pid}-hooked`);
  stack.defer(async () => await removeCgroup(cgroup));
  const before = cgroupOf("self");
  stack.defer(() => joinCgroup(before, process.pid));
  const fd = openSync(cgroup, "r");
  for (const program of loaded.programs.values()) {
    const attachType = spec.programs.get(program.name)?.kind.attachType ?? 0;
    stack.use(attachCgroup({ program, fd, attachType }));
  }
  closeSync(fd);
  joinCgroup(cgroup, process.pid);
  const socks = node.typed("lb_socks", lbSockKeyLayout, lbSockLayout);
  const connect = (address: string, port: number, proto: number): Led =>
    node.inside(() => {
      for (const [key] of [...socks.entries()]) socks.delete(key);
      const to = encodeSockaddr(parseAddress(address), port);
      const socket = openSocket(parseAddress(address), proto === Proto.tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
      try {
        const failed = libc.connect(socket, to, to.length) !== 0 ? lastErrno() : 0;
        const [led] = [...socks.entries()];
        if (led) return { ...(led[0].addr && { backend: led[0].addr }), port: led[0].port };
        const error = Object.entries(constants.errno).find(([, number]) => number === failed)?.[0];
        return error === undefined || error === "EINPROGRESS" ? {} : { error };
      } finally {
        closeSync(socket);
      }
    });
  return { connect, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
