// SPDX-License-Identifier: Apache-2.0
import { setImmediate as nextTurn } from "node:timers/promises";
import type { LbSock } from "#datapath/layouts/lb-sock.ts";
import type { LbSockKey } from "#datapath/layouts/lb-sock-key.ts";
import type { TypedMap } from "#kernel/bpf/typed-map.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { destroySocket, listSockets, type SocketProto } from "#kernel/netlink/sock-diag.ts";
import { errorText } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Address } from "#model/ip.ts";
import { tupleText } from "#services/service.ts";

export interface SocketEnderDeps {
  /** What sockets were told they talk to. */
  readonly socks: Pick<TypedMap<LbSockKey, LbSock>, "entries">;
  /** Paths of the pods' network namespaces; the node's own is looked at too. */
  namespaces(): Iterable<string>;
  readonly log: Logger;
}

/** A socket's word: the frontend it asked for, and the backend it was led to. */
export interface LedSocket {
  readonly frontend: number;
  /** By {@link tupleText}. */
  readonly backend: string;
  readonly address: Address;
  readonly proto: SocketProto;
}

export type IsGone = (socket: LedSocket) => boolean;

/** By cookie: the backend. */
type Wanted = Map<bigint, string>;

/**
 * Ends the sockets that a service led to a backend that is gone; those that went there by themselves are not in the map. The
 * node's namespaces are looked at one a turn of the event loop.
 * @returns how many were ended, and those that were not found: closed long ago, or just about to connect
 */
export async function endSockets(
  deps: SocketEnderDeps,
  isGone: IsGone,
  signal: AbortSignal,
): Promise<{ ended: number; missed: Wanted }> {
  const wanted: Wanted = new Map();
  const protos = new Set<SocketProto>();
  for (const [{ cookie, addr, port, proto }, { frontend }] of deps.socks.entries()) {
    if (proto !== 6 && proto !== 17) continue;
    const backend = tupleText({ address: addr, port, proto });
    if (!isGone({ frontend, backend, address: addr, proto })) continue;
    wanted.set(cookie, backend);
    protos.add(proto);
  }
  return endWanted(deps, wanted, signal, protos);
}

/** The same for those that were missed. */
export async function endWanted(
  { namespaces, log }: SocketEnderDeps,
  wanted: Wanted,
  signal: AbortSignal,
  protos: Iterable<SocketProto> = [6, 17],
): Promise<{ ended: number; missed: Wanted }> {
  const missed = new Map(wanted);
  let ended = 0;
  for (const netns of wanted.size > 0 ? [undefined, ...namespaces()] : []) {
    if (missed.size === 0 || signal.aborted) break;
    try {
      using diag = openNetlink({ protocol: "diag", ...(netns !== undefined && { netns }) });
      for (const proto of protos)
        for (const socket of listSockets(diag, proto)) {
          const backend = tupleText({ address: socket.peer, port: socket.peerPort, proto });
          if (missed.get(socket.cookie) !== backend) continue;
          missed.delete(socket.cookie);
          if (destroySocket(diag, socket)) ended++;
        }
    } catch (error) {
      // A pod that is just going.
      log.debug({ netns, error: errorText(error) }, "cannot look at a namespace's sockets");
    }
    await nextTurn();
  }
  if (ended > 0) log.info({ sockets: ended }, "sockets told that their backend is gone");
  return { ended, missed };
}
