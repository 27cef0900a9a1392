// SPDX-License-Identifier: Apache-2.0

import { existsSync, readFileSync } from "node:fs";
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound, KubeError } from "#k8s/errors.ts";
import type { ManifestObject } from "#k8s/manifest.ts";
import { type Resource, resources } from "#k8s/resource.ts";
import { API_PORT, statePaths } from "#lab/layout.ts";
import { labClient, runningLab } from "#lab/status.ts";
import { policyLanguages } from "#policy/languages.ts";
import { loadCluster, type OfflineCluster } from "#policy/offline/cluster.ts";
import type { SourcedObject } from "#policy/offline/objects.ts";
import { clusterSettings, type SettingsArguments } from "./cluster-settings.ts";
import { type ClusterChoice, clusterClient, namesCluster } from "./target.ts";

/** The agents' settings are in one that has a label of the chart's. */
const configMaps: Resource = { group: "", version: "v1", plural: "configmaps" };

const kinds: readonly { readonly resource: Resource; readonly apiVersion: string; readonly kind: string }[] =
  [
    { resource: resources.pods, apiVersion: "v1", kind: "Pod" },
    { resource: resources.namespaces, apiVersion: "v1", kind: "Namespace" },
    { resource: resources.services, apiVersion: "v1", kind: "Service" },
    { resource: resources.nodes, apiVersion: "v1", kind: "Node" },
    { resource: resources.endpointSlices, apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice" },
    { resource: configMaps, apiVersion: "v1", kind: "ConfigMap" },
    { resource: resources.ciliumIdentities, apiVersion: "cilium.io/v2", kind: "CiliumIdentity" },
    { resource: resources.ciliumCidrGroups, apiVersion: "cilium.io/v2", kind: "CiliumCIDRGroup" },
    ...policyLanguages,
  ];

/** The cluster a command means, by its API server: the one named, else the lab, else that of the kubeconfig. */
async function chosenClient(choice: ClusterChoice): Promise<KubeClient> {
  return meansLab(choice) ? labClient() : clusterClient(choice);
}

function meansLab(choice: ClusterChoice): boolean {
  return !namesCluster(choice) && existsSync(statePaths.kubeconfig);
}

export type LiveChoice = ClusterChoice & SettingsArguments;

/**
 * A running cluster, read once: what the tools for files do, done to what is there now. Its agents' settings are those of the chart's ConfigMap,
 * or of the lab's first agent, unless options say others.
 */
export async function liveCluster(choice: LiveChoice, signal: AbortSignal): Promise<OfflineCluster> {
  using client = await chosenClient(choice);
  const lists = await Promise.all(kinds.map((one) => objectsOf(client, one, signal)));
  const objects = lists.flat();
  const known = meansLab(choice) ? labSettings() : undefined;
  const settings = clusterSettings(
    choice,
    objects.map(({ object }) => object),
    known,
  );
  return loadCluster(objects, { clusterName: clusterNameOf(objects), ...settings });
}

/** Agents of the lab have files, all alike in what verdicts depend on. */
function labSettings() {
  const path = runningLab().plan.nodes[0]!.agentConfig;
  return { text: readFileSync(path, "utf8"), path, apiServerPort: API_PORT };
}

function isForbidden(thrown: unknown): boolean {
  return thrown instanceof KubeError && thrown.status === 403;
}

/** Items of a list carry neither kind nor apiVersion; a kind that is not served has none. */
async function objectsOf(
  client: KubeClient,
  { resource, apiVersion, kind }: (typeof kinds)[number],
  signal: AbortSignal,
): Promise<SourcedObject[]> {
  try {
    const labelled = resource === configMaps ? { labelSelector: "app.kubernetes.io/name=weft" } : {};
    const { items } = await client.list<ManifestObject>(resource, { signal, ...labelled });
    return items.map((item) => ({ object: { ...item, apiVersion, kind } }));
  } catch (thrown) {
    if (isNotFound(thrown) || (resource === configMaps && isForbidden(thrown))) return [];
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
