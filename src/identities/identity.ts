// SPDX-License-Identifier: Apache-2.0
import type { Address, Prefix } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";

/** A number that stands for a set of labels: what policies select and packets carry. */
export interface Identity {
  readonly id: number;
  readonly labels: Labels;
}

/** Desired ipcache: which identity an address (or a range of them) has, and behind which node it lives. */
export interface IpcacheEntry {
  readonly prefix: Prefix;
  readonly identity: number;
  /** Underlay address of the node to encapsulate to; absent: not tunnelled. */
  readonly tunnel?: Address;
  /** Who says so: `host`, `local`, `endpoint`, `node`, `reserved`, `cidr`. */
  readonly source: string;
}
