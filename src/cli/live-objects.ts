// SPDX-License-Identifier: Apache-2.0

import { existsSync } from "node:fs";
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import type { ManifestObject } from "#k8s/manifest.ts";
import { type Resource, resources } from "#k8s/resource.ts";
import { statePaths } from "#lab/layout.ts";
import { labClient } from "#lab/status.ts";
import { policyLanguages } from "#policy/languages.ts";
import { loadCluster, type OfflineCluster } from "#policy/offline/cluster.ts";
import type { SourcedObject } from "#policy/offline/objects.ts";
import { type ClusterChoice, clusterClient, namesCluster } from "./target.ts";

const kinds: readonly { readonly resource: Resource; readonly apiVersion: string; readonly kind: string }[] =
  [
    { resource: resources.pods, apiVersion: "v1", kind: "Pod" },
    { resource: resources.namespaces, apiVersion: "v1", kind: "Namespace" },
    { resource: resources.services, apiVersion: "v1", kind: "Service" },
    { resource: resources.nodes, apiVersion: "v1", kind: "Node" },
    { resource: resources.endpointSlices, apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice" },
    { resource: resources.ciliumIdentities, apiVersion: "cilium.io/v2", kind: "CiliumIdentity" },
    { resource: resources.ciliumCidrGroups, apiVersion: "cilium.io/v2", kind: "CiliumCIDRGroup" },
    ...policyLanguages,
  ];

/** The cluster a command means, by its API server: the one named, else the lab, else that of the kubeconfig. */
export async function chosenClient(choice: ClusterChoice): Promise<KubeClient> {
  if (namesCluster(choice) || !existsSync(statePaths.kubeconfig)) return clusterClient(choice);
  return labClient();
}

/** A running cluster, read once: what the tools for files do, done to what is there now. */
export async function liveCluster(client: KubeClient, signal: AbortSignal): Promise<OfflineCluster> {
  const lists = await Promise.all(kinds.map((one) => objectsOf(client, one, signal)));
  const objects = lists.flat();
  return loadCluster(objects, { clusterName: clusterNameOf(objects) });
}

/** Items of a list carry neither kind nor apiVersion; a kind that is not served has none. */
async function objectsOf(
  client: KubeClient,
  { resource, apiVersion, kind }: (typeof kinds)[number],
  signal: AbortSignal,
): Promise<SourcedObject[]> {
  try {
    const { items } = await client.list<ManifestObject>(resource, { signal });
    return items.map((item) => ({ object: { ...item, apiVersion, kind } }));
  } catch (thrown) {
    if (isNotFound(thrown)) return [];
    throw thrown;
  }
}

/** Identities say it; before there is any, nobody selects by it. */
function clusterNameOf(objects: readonly SourcedObject[]): string {
  for (const { object } of objects) {
    const labels = (object as { readonly "security-labels"?: Record<string, string> })["security-labels"];
    const name = labels?.["k8s:io.cilium.k8s.policy.cluster"];
    if (name !== undefined) return name;
  }
  return "default";
}
