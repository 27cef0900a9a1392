// SPDX-License-Identifier: Apache-2.0
import type { NetnsRef } from "#kernel/netns.ts";

/** A network device, as the kernel reports it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** `veth`, `vxlan`, `bridge`, …; absent for devices without rtnl_link_ops such as lo. */
  readonly kind?: string;
  /** Absent for devices without a link-layer address. */
  readonly mac?: string;
  readonly mtu: number;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** Has a carrier and can pass packets (IFF_LOWER_UP). */
  readonly carrier: boolean;
  /**
   * Operational state (RFC 2863) is up. Follows the carrier with a delay; till then what is sent is dropped. Drivers
   * that keep no such state (loopback) never say so.
   */
  readonly operational: boolean;
  readonly noArp: boolean;
  readonly loopback: boolean;
  /** Index of the bridge or other device it belongs to. */
  readonly master?: number;
  /** veth: the peer's index, in the peer's namespace. */
  readonly peer?: number;
  readonly alias?: string;
  readonly vxlan?: { readonly port: number; readonly external: boolean };
}

/** A device by index or by name. */
export type LinkRef = number | string;

export interface NewLink {
  readonly name: string;
  /** Default: the kernel makes one up. */
  readonly mac?: string;
  readonly mtu?: number;
}

/** What to change; absent fields stay as they are. */
export interface LinkChange {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: string;
  /** The device has to be down. */
  readonly name?: string;
  readonly noArp?: boolean;
  /** 0 takes it out of its master. */
  readonly master?: number;
  /** Moves the device there. */
  readonly netns?: NetnsRef;
  readonly alias?: string;
  /** False: IPv6 makes no link-local address of its own on it. */
  readonly linkLocal?: boolean;
}
