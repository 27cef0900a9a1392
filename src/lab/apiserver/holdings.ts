// SPDX-License-Identifier: Apache-2.0
import type { Prefix } from "#model/ip.ts";

/** One family's service addresses. */
export interface Pool {
  readonly prefix: Prefix;
  readonly name: "IPv4" | "IPv6";
  next: number;
}

/** What Services hold, kept in step with the store: address or `TCP/30080` → key of its Service. */
export interface Holdings {
  readonly held: Map<string, string>;
  readonly pools: readonly Pool[];
  nextPort: number;
}
