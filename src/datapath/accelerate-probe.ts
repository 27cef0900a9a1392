// SPDX-License-Identifier: Apache-2.0
import { closeSync, readFileSync } from "node:fs";
import { AttachType } from "#kernel/bpf/kinds.ts";
import { attachSockets } from "#kernel/bpf/link.ts";
import { loadCollection } from "#kernel/bpf/object.ts";
import { parseObject } from "#kernel/bpf/spec.ts";
import { typedMap, u32Layout, u64Layout } from "#kernel/bpf/typed-map.ts";
import { checked, libc } from "#kernel/libc.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { setLink } from "#kernel/netlink/link.ts";
import { inFreshNetns } from "#kernel/netns.ts";
import {
  acceptConnection,
  encodeSockaddr,
  listenTcp,
  localPort,
  openSocket,
  receiveBuffer,
  SOCK_STREAM,
  unreadBytes,
} from "#kernel/socket.ts";
import { bpfObject } from "#lib/assets.ts";
import { errorText } from "#lib/errors.ts";
import type { Address } from "#model/ip.ts";

const LOOPBACK = "127.0.0.1" as Address;
const MESSAGE = new Uint8Array(1000);

/**
 * What is missing for connections to go past the network; undefined: nothing. The kernel has to count redirected bytes in the reader's buffer
 * (Linux 6.14, and older ones that took the change over), or a reader that is slow would fill the memory; and it has to let programs read
 * its sockets. Both are tried on a connection of our own, in a network namespace that ends with the question. For the main thread.
 */
export function accelerationProblem(): string | undefined {
  try {
    return inFreshNetns(() => {
      using netlink = openNetlink();
      setLink(netlink, "lo", { up: true });
      return tryIt();
    });
  } catch (error) {
    return errorText(error);
  }
}

function tryIt(): string | undefined {
  using undo = new DisposableStack();
  const closing = (fd: number) => undo.adopt(fd, closeSync);
  const programs = undo.use(loadCollection(parseObject(readFileSync(bpfObject("sock-probe")))));
  const map = programs.map("probe_sockets");
  undo.use(
    attachSockets({
      program: programs.program("probe_redirect"),
      fd: map.fd.number,
      attachType: AttachType.skMsgVerdict,
    }),
  );
  const listener = closing(listenTcp(LOOPBACK, 0));
  const writer = closing(openSocket(LOOPBACK, SOCK_STREAM, 0));
  const name = encodeSockaddr(LOOPBACK, localPort(listener));
  // Says that it is under way, and is done already: the other end is here.
  libc.connect(writer, name, name.length);
  const reader = closing(acceptConnection(listener));
  const sockets = typedMap(map, u32Layout, u64Layout);
  for (const [place, fd] of [reader, writer].entries()) sockets.set(place, BigInt(fd));
  checked(libc.send(writer, MESSAGE, MESSAGE.length, 0), "send past the network");
  const seen = typedMap(programs.map("probe_rcvbuf"), u32Layout, u32Layout).get(0);
  if (seen !== receiveBuffer(writer)) return "this kernel does not let programs read its sockets";
  if (unreadBytes(reader) < MESSAGE.length)
    return "this kernel does not count redirected bytes in the buffer of who reads them (Linux 6.14 does)";
  return undefined;
}
