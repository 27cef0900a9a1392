// SPDX-License-Identifier: Apache-2.0
import type { Logger } from "#lib/log.ts";
import type { ImageMap } from "../image-map.ts";
import type { NodePlan } from "../layout.ts";
import type { Pod, PodStatus } from "../objects.ts";
import type { PlayedPort } from "../stand-in/ports.ts";
import type { ContainerRuntime } from "./container.ts";
import type { EnvSources } from "./env.ts";
import type { PodPlace } from "./pod-place.ts";
import type { Sandboxes } from "./sandbox.ts";

/** What the pods of one node share. */
export interface KubeletContext {
  readonly plan: NodePlan;
  readonly log: Logger;
  /** Ends the whole kubelet. */
  readonly signal: AbortSignal;
  /** cgroup2 directory of the node. */
  readonly cgroup: string;
  /** Path of the node's own network namespace. */
  readonly hostNetns: string;
  /** The cluster's DNS, as pods see it. */
  readonly nameservers: readonly string[];
  readonly images: ImageMap;
  readonly runtime: ContainerRuntime;
  readonly sandboxes: Sandboxes;
  envSources(place: PodPlace): EnvSources;
  /** Ports Services lead to on the pod. */
  servicePorts(pod: Pod): PlayedPort[];
  event(pod: Pod, type: "Normal" | "Warning", reason: string, message: string): void;
  writeStatus(pod: Pod, status: PodStatus): Promise<void>;
  /** Takes the object out of the API: the last thing a kubelet does for a pod. */
  finalize(pod: Pod): Promise<void>;
}
