// SPDX-License-Identifier: Apache-2.0

import { LITTLE_ENDIAN } from "#kernel/endian.ts";
import { hasErrno } from "#kernel/errno.ts";
import { type Message, MessageWriter } from "#kernel/netlink/codec.ts";
import type { Netlink } from "#kernel/netlink/handle.ts";
import { inetAddress } from "#kernel/netlink/inet.ts";
import { AF_INET, AF_INET6 } from "#kernel/socket.ts";
import type { Address } from "#model/ip.ts";

/** A socket that has a peer. */
export interface PeeredSocket {
  readonly proto: SocketProto;
  /** By which BPF programs know it (bpf_get_socket_cookie). */
  readonly cookie: bigint;
  readonly peer: Address;
  readonly peerPort: number;
  /** AF_INET or AF_INET6: the socket's own. */
  readonly domain: number;
  /** struct inet_diag_sockid, as the kernel gave it. */
  readonly id: Uint8Array;
}

/** IANA number: TCP, UDP. */
export type SocketProto = 6 | 17;

const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
/** By the numbers of the kernel's TCP states; a connected UDP socket is in the first of them. */
const ESTABLISHED = 1 << 1;
const SYN_SENT = 1 << 2;
const FIN_WAIT1 = 1 << 4;
const FIN_WAIT2 = 1 << 5;
const CLOSE_WAIT = 1 << 8;
/** Those in which a process may wait for something. */
const states: Readonly<Record<SocketProto, number>> = {
  6: ESTABLISHED | SYN_SENT | FIN_WAIT1 | FIN_WAIT2 | CLOSE_WAIT,
  17: ESTABLISHED,
};
/** Bytes of struct inet_diag_sockid, and where it begins in struct inet_diag_msg. */
const ID_SIZE = 48;
const ID_AT = 4;

/** The connected sockets of the handle's network namespace (one of protocol "diag"). @throws KernelError E_NETLINK */
export function listSockets(diag: Netlink, proto: SocketProto): PeeredSocket[] {
  return [AF_INET, AF_INET6].flatMap((domain) =>
    diag
      .dump({
        type: SOCK_DIAG_BY_FAMILY,
        payload: request(domain, proto, new Uint8Array(ID_SIZE)),
        what: () => `list ${proto === 6 ? "TCP" : "UDP"} sockets`,
      })
      .map((message) => decode(domain, proto, message)),
  );
}

/**
 * Ends what the socket waits for with ECONNABORTED; a UDP socket may be used anew, a TCP connection is over, and its peer is
 * told. False: it is gone. @throws KernelError E_NETLINK
 */
export function destroySocket(diag: Netlink, { proto, domain, id, peer, peerPort }: PeeredSocket): boolean {
  try {
    const what = () => `destroy a socket connected to ${peer} port ${peerPort}`;
    diag.request({ type: SOCK_DESTROY, payload: request(domain, proto, id), what });
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESTALE")) return false;
    throw error;
  }
}

/** struct inet_diag_req_v2 */
function request(domain: number, proto: SocketProto, id: Uint8Array): Uint8Array {
  return new MessageWriter().u8(domain).u8(proto).u16(0).u32(states[proto]).bytes(id).finish();
}

function decode(domain: number, proto: SocketProto, { payload }: Message): PeeredSocket {
  const id = payload.slice(ID_AT, ID_AT + ID_SIZE);
  const view = new DataView(id.buffer);
  return {
    proto,
    cookie: view.getBigUint64(40, LITTLE_ENDIAN),
    peer: inetAddress(id.subarray(20, domain === AF_INET ? 24 : 36)),
    peerPort: view.getUint16(2),
    domain,
    id,
  };
}
