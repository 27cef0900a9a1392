// SPDX-License-Identifier: Apache-2.0
import type { Address, Prefix } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";

/** A node of the cluster as the agent sees it. */
export interface Node {
  readonly name: string;
  readonly self: boolean;
  /** InternalIPs in the Node's order, at most one per family used for the underlay. */
  readonly addresses: readonly Address[];
  readonly podCidrs: readonly Prefix[];
  /** Labels with source, `k8s:kubernetes.io/hostname=n1`. */
  readonly labels: Labels;
}
