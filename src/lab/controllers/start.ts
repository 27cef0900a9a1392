// SPDX-License-Identifier: Apache-2.0
import type { Logger } from "#lib/log.ts";
import type { Cluster } from "../cluster.ts";
import { startDaemonSets } from "./daemonset.ts";
import { startDeployments } from "./deployment.ts";
import { startEndpointSlices } from "./endpointslice.ts";
import { startJobs } from "./job.ts";
import { startReplicaSets } from "./replicaset.ts";
import { startScheduler } from "./scheduler.ts";
import { startStatefulSets } from "./statefulset.ts";

/** Starts every controller of the lab's cluster; they end with the signal. */
export function startControllers(
  cluster: Cluster,
  deps: { log: Logger; signal: AbortSignal; nodes: number },
): void {
  startScheduler(cluster, deps);
  startDeployments(cluster, deps);
  startReplicaSets(cluster, deps);
  startDaemonSets(cluster, deps);
  startStatefulSets(cluster, deps);
  startJobs(cluster, deps);
  startEndpointSlices(cluster, deps);
}
