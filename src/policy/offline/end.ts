// SPDX-License-Identifier: Apache-2.0
import type { Address } from "#model/ip.ts";
import type { OfflineNode } from "./nodes.ts";
import type { OfflinePod } from "./pods.ts";

/** One side of a connection. */
export type End =
  | { readonly kind: "pod"; readonly pod: OfflinePod }
  /** A process of the node. */
  | { readonly kind: "node"; readonly node: OfflineNode; readonly address?: Address }
  | { readonly kind: "address"; readonly address: Address }
  /** Whoever has a reserved identity: `world` (an address no policy names), `host`, `remote-node`, `kube-apiserver`, … */
  | { readonly kind: "reserved"; readonly name: string; readonly address?: Address };
