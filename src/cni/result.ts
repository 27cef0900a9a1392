// SPDX-License-Identifier: Apache-2.0
import type { Address } from "#model/ip.ts";
import type { CniVersion } from "./request.ts";

/** Pods' default gateways: link-local addresses that exist nowhere, resolved by a permanent neighbour entry. */
export const GATEWAY_V4 = "169.254.1.1" as Address;
export const GATEWAY_V6 = "fe80::1" as Address;

export interface AddResult {
  readonly hostIfname: string;
  readonly hostMac: string;
  readonly ifname: string;
  readonly mac: string;
  readonly netns: string;
  readonly mtu: number;
  readonly v4?: Address;
  readonly v6?: Address;
}

/** The ADD result of the specification: `mtu` since 1.1.0, an address's `version` only before 1.0.0. */
export function addResult(cniVersion: CniVersion, result: AddResult): Record<string, unknown> {
  const { hostIfname, hostMac, ifname, mac, netns, v4, v6 } = result;
  const mtu = cniVersion === "1.1.0" ? { mtu: result.mtu } : {};
  const address = (text: string, version: string, gateway: Address) => ({
    ...(cniVersion === "0.4.0" && { version }),
    address: text,
    gateway,
    interface: 1,
  });
  return {
    cniVersion,
    interfaces: [
      { name: hostIfname, mac: hostMac, ...mtu },
      { name: ifname, mac, sandbox: netns, ...mtu },
    ],
    ips: [
      ...(v4 === undefined ? [] : [address(`${v4}/32`, "4", GATEWAY_V4)]),
      ...(v6 === undefined ? [] : [address(`${v6}/128`, "6", GATEWAY_V6)]),
    ],
    routes: [
      ...(v4 === undefined ? [] : [{ dst: "0.0.0.0/0", gw: GATEWAY_V4 }]),
      ...(v6 === undefined ? [] : [{ dst: "::/0", gw: GATEWAY_V6 }]),
    ],
    dns: {},
  };
}
