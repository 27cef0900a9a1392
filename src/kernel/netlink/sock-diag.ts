// SPDX-License-Identifier: Apache-2.0

import { LITTLE_ENDIAN } from "#kernel/endian.ts";
import { hasErrno } from "#kernel/errno.ts";
import { type Message, MessageWriter } from "#kernel/netlink/codec.ts";
import type { Netlink } from "#kernel/netlink/handle.ts";
import { inetAddress } from "#kernel/netlink/inet.ts";
import { AF_INET, AF_INET6 } from "#kernel/socket.ts";
import type { Address } from "#model/ip.ts";

/** A UDP socket that is connected. */
export interface UdpSocket {
  /** By which BPF programs know it (bpf_get_socket_cookie). */
  readonly cookie: bigint;
  readonly peer: Address;
  readonly peerPort: number;
  /** AF_INET or AF_INET6: the socket's own. */
  readonly domain: number;
  /** struct inet_diag_sockid, as the kernel gave it. */
  readonly id: Uint8Array;
}

const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
const IPPROTO_UDP = 17;
const CONNECTED = 1 << 1;
/** Bytes of struct inet_diag_sockid, and where it begins in struct inet_diag_msg. */
const ID_SIZE = 48;
const ID_AT = 4;

/** The connected UDP sockets of the handle's network namespace (one of protocol "diag"). @throws KernelError E_NETLINK */
export function listUdpSockets(diag: Netlink): UdpSocket[] {
  return [AF_INET, AF_INET6].flatMap((domain) =>
    diag
      .dump({
        type: SOCK_DIAG_BY_FAMILY,
        payload: request(domain, new Uint8Array(ID_SIZE)),
        what: () => "list UDP sockets",
      })
      .map((message) => decode(domain, message)),
  );
}

/** Ends what the socket waits for with ECONNABORTED; it may be used anew. False: it is gone. @throws KernelError E_NETLINK */
export function destroyUdpSocket(diag: Netlink, { domain, id, peer, peerPort }: UdpSocket): boolean {
  try {
    const what = () => `destroy a UDP socket connected to ${peer} port ${peerPort}`;
    diag.request({ type: SOCK_DESTROY, payload: request(domain, id), what });
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESTALE")) return false;
    throw error;
  }
}

/** struct inet_diag_req_v2 */
function request(domain: number, id: Uint8Array): Uint8Array {
  return new MessageWriter().u8(domain).u8(IPPROTO_UDP).u16(0).u32(CONNECTED).bytes(id).finish();
}

function decode(domain: number, { payload }: Message): UdpSocket {
  const id = payload.slice(ID_AT, ID_AT + ID_SIZE);
  const view = new DataView(id.buffer);
  return {
    cookie: view.getBigUint64(40, LITTLE_ENDIAN),
    peer: inetAddress(id.subarray(20, domain === AF_INET ? 24 : 36)),
    peerPort: view.getUint16(2),
    domain,
    id,
  };
}
