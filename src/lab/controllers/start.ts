// SPDX-License-Identifier: Apache-2.0
import type { Logger } from "#lib/log.ts";
import type { Cluster } from "../cluster.ts";
import { startDaemonSets } from "./daemonset.ts";
import { startDeployments } from "./deployment.ts";
import { startEndpointSlices } from "./endpointslice.ts";
import { startGarbageCollector } from "./garbage.ts";
import { startJobs } from "./job.ts";
import { startNamespaces } from "./namespace.ts";
import { startReplicaSets } from "./replicaset.ts";
import { startScheduler } from "./scheduler.ts";
import { startStatefulSets } from "./statefulset.ts";

/** Starts every controller of the lab's cluster; they end with the signal. `ca`: the API server's certificate, PEM. */
export function startControllers(cluster: Cluster, deps: { log: Logger; signal: AbortSignal; ca: string }): void {
  startNamespaces(cluster, deps);
  startScheduler(cluster, deps);
  startDeployments(cluster, deps);
  startReplicaSets(cluster, deps);
  startDaemonSets(cluster, deps);
  startStatefulSets(cluster, deps);
  startJobs(cluster, deps);
  startEndpointSlices(cluster, deps);
  startGarbageCollector(cluster, deps);
}
