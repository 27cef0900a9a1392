// SPDX-License-Identifier: Apache-2.0
import type { Netlink } from "#kernel/netlink/handle.ts";
import type { Logger } from "#lib/log.ts";
import type { Datapath } from "./load.ts";

/** Where a node's programs are attached, and what is there of them. */
export interface AttachTarget {
  readonly datapath: Datapath;
  /** Directory of pinned links. */
  readonly linksDir: string;
  /** Of the node's network namespace. */
  readonly netlink: Netlink;
  readonly log: Logger;
}
