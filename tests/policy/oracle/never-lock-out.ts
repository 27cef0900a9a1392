// SPDX-License-Identifier: Apache-2.0
import { inBlock, settingsOf } from "./cluster.ts";
import type { Side } from "./side.ts";

/** What no policy of a node closes, whatever its tier: the way to API servers and to one here, and ports for those who look after the node. */
export function staysOpen({ cluster, subject, peer, direction, attempt: { protocol, port } }: Side): boolean {
  if (subject.kind !== "host" || protocol !== "TCP") return false;
  const { apiServerPorts, apiServerAddress, ports, cidrs } = settingsOf(cluster).neverLockOut;
  if (direction === "egress") {
    const isServer = (peer.kind !== "pod" && peer.apiServer) || peer.address === apiServerAddress;
    return isServer && apiServerPorts.includes(port);
  }
  if (apiServerPorts.includes(port)) return true;
  return ports.includes(port) && (cidrs.length === 0 || cidrs.some((cidr) => inBlock(peer.address, cidr)));
}
