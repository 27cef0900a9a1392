// SPDX-License-Identifier: Apache-2.0
import type { Pod } from "../objects.ts";

/** A pod on this node as its containers see it: the object, and where they run. */
export interface PodPlace {
  readonly pod: Pod;
  /** Path of the network namespace its containers are in. */
  readonly netns: string;
  readonly podIps: readonly string[];
  readonly cgroup: string;
  /** Directory with the pod's resolv.conf and hosts. */
  readonly etc: string;
}
