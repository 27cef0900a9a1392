// SPDX-License-Identifier: Apache-2.0
import { type Cluster, openCluster } from "../cluster/cluster.ts";

/** The running cluster with Weft that `WEFT_KUBERNETES_CLUSTER` names. */
export async function testCluster(): Promise<Cluster> {
  return openCluster(process.env["WEFT_KUBERNETES_CLUSTER"] ?? "dev");
}
