// SPDX-License-Identifier: Apache-2.0
import { crdVersionLabel } from "#api/crd/definition.ts";
import { customResourceDefinitions } from "#api/crd/definitions.ts";
import type { KubeClient, ObjectRef } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { type KubeObject, type Resource, resourceName, resourcePath, resources } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import { l2LeaseLabel, operatorLease } from "#model/leases.ts";
import { type Applied, applyObject, deleteObject } from "./apply.ts";
import { type Chart, renderChart } from "./chart.ts";
import { type AgentSet, cleanupName, cleanupSet } from "./cleanup-pods.ts";
import { getOptional } from "./cluster.ts";
import { type Inventory, type InventoryObject, inventoryOf, readInventory } from "./inventory.ts";
import { inOrder, installKinds } from "./kinds.ts";
import {
  type CleanupState,
  definitionsGone,
  podsGone,
  runningImage,
  waitForCleanup,
} from "./uninstall-wait.ts";

export interface UninstallOptions {
  readonly client: KubeClient;
  readonly chart: Chart;
  readonly namespace: string;
  /** Leave the installation's own objects: what Helm's hook does before Helm deletes them. */
  readonly nodesOnly?: boolean;
  /** Delete the definitions too, and with them every policy of Weft's own kinds. */
  readonly crds?: boolean;
  /** Go on without the nodes nobody hears of. */
  readonly skipLostNodes?: boolean;
  /** Of the pods that clean; default: the one running agents have. */
  readonly image?: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  onApplied?(applied: Applied): void;
  onCleanup?(state: CleanupState): void;
}

/**
 * Takes Weft out of a cluster: agents and operator end, every node is cleaned and says so, then the rest is deleted. Can be repeated
 * after whatever ended it half-way.
 * @throws WeftError E_NOT_INSTALLED, E_HELM, E_TIMEOUT naming the nodes that did not answer and why
 */
export async function uninstall(options: UninstallOptions): Promise<void> {
  const { client, namespace, signal } = options;
  const inventory = await readInventory(client, namespace, signal);
  const agents = await findAgents(options, inventory);
  const remove = async (object: InventoryObject) => {
    const applied = await deleteObject(client, object, signal);
    if (applied.action === "deleted") options.onApplied?.(applied);
  };
  const cleanup = cleanupSet(agents, options.image ?? (await runningImage(options)));
  // The relay's pods are in the pod network: without it their sandboxes could not be taken down.
  await remove({ kind: "Deployment", namespace, name: "weft-relay" });
  await podsGone(options, "weft-relay");
  // Then the operator: it would make new what the cleaning deletes.
  await remove({ kind: "Deployment", namespace, name: "weft-operator" });
  await remove({ kind: "DaemonSet", namespace, name: "weft" });
  for (const app of ["weft-operator", "weft"]) await podsGone(options, app);
  options.onApplied?.(await applyObject(client, cleanup, signal));
  await waitForCleanup(options);
  await remove({ kind: "DaemonSet", namespace, name: cleanupName });
  await podsGone(options, cleanupName);
  for (const resource of stateKinds) await deleteAll(client, resource, { signal });
  await deleteAll(client, resources.leases, { signal, namespace, labelSelector: l2LeaseLabel.join("=") });
  await deleteLease(client, { namespace, name: operatorLease }, signal);
  if (options.nodesOnly) return;
  const objects = inventory?.objects ?? rendered(options, {});
  for (const object of inOrder(objects).reverse()) await remove(object);
  await remove({ kind: "ConfigMap", namespace, name: "weft-inventory" });
  if (!options.crds) return;
  const ours: string[] = [];
  for (const { metadata } of customResourceDefinitions)
    if (await isOurs(client, metadata.name, signal)) ours.push(metadata.name);
  for (const name of ours) await remove({ kind: "CustomResourceDefinition", name });
  await definitionsGone(options, ours);
}

/** A definition that somebody else installed is theirs to delete. */
async function isOurs(client: KubeClient, name: string, signal: AbortSignal): Promise<boolean> {
  const resource = resources.customResourceDefinitions;
  const definition = await getOptional<KubeObject>(client, resource, { name }, signal);
  return definition?.metadata?.labels?.[crdVersionLabel] !== undefined;
}

/** The agents' DaemonSet, or what an earlier, interrupted run knew of it. */
async function findAgents(options: UninstallOptions, inventory: Inventory | undefined): Promise<AgentSet> {
  const { client, chart, namespace, signal } = options;
  const set = await getOptional<AgentSet>(
    client,
    installKinds.DaemonSet,
    { namespace, name: "weft" },
    signal,
  );
  if (set?.metadata.labels?.["app.kubernetes.io/managed-by"] === "Helm" && !options.nodesOnly)
    throw new WeftError("E_HELM", `Weft was installed into namespace ${namespace} by Helm`, {
      hint: "go on with `helm uninstall`: it cleans the nodes the same way",
    });
  if (set) return set;
  if (!inventory && !options.nodesOnly)
    throw new WeftError("E_NOT_INSTALLED", `there is no installation of Weft in namespace ${namespace}`, {
      hint: "-n names another namespace",
    });
  const objects = renderChart(chart, { namespace, values: inventory?.settled ?? {} });
  return objects.find(({ kind }) => kind === "DaemonSet") as AgentSet;
}

function rendered({ chart, namespace }: UninstallOptions, values: Inventory["values"]): InventoryObject[] {
  return inventoryOf(renderChart(chart, { namespace, values }));
}

/** What agents and operator write about a running network; nobody's work is lost with it. */
const stateKinds: readonly Resource[] = [
  resources.ciliumEndpoints,
  resources.ciliumEndpointSlices,
  resources.ciliumIdentities,
  resources.ciliumNodes,
  resources.nodePolicyStatuses,
];

/** Deletes every object of a kind, or those of a namespace with a label; a kind that is not there has none. */
async function deleteAll(
  client: KubeClient,
  resource: Resource,
  options: { readonly signal: AbortSignal; readonly namespace?: string; readonly labelSelector?: string },
): Promise<void> {
  const { signal, labelSelector } = options;
  const query = labelSelector === undefined ? {} : { labelSelector };
  try {
    const { items } = await client.list<KubeObject>(resource, options);
    const namespaces = new Set(items.map(({ metadata }) => metadata?.namespace));
    for (const namespace of namespaces)
      await client.request({ method: "DELETE", path: resourcePath(resource, { namespace }), query, signal });
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
}

async function deleteLease(client: KubeClient, ref: ObjectRef, signal: AbortSignal): Promise<void> {
  try {
    await client.delete(resources.leases, ref, { signal });
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
}

/** How many objects people wrote would go with the definitions, by kind. */
export async function policiesOf(
  client: KubeClient,
  signal: AbortSignal,
): Promise<{ readonly kind: string; readonly count: number }[]> {
  const kinds = [
    resources.ciliumNetworkPolicies,
    resources.ciliumClusterwideNetworkPolicies,
    resources.ciliumCidrGroups,
    resources.clusterNetworkPolicies,
    resources.ciliumLoadBalancerIpPools,
    resources.ciliumL2AnnouncementPolicies,
    resources.ciliumEgressGatewayPolicies,
    resources.ciliumLocalRedirectPolicies,
  ];
  const counts = await Promise.all(
    kinds.map(async (resource) => {
      try {
        return (await client.list<KubeObject>(resource, { signal })).items.length;
      } catch (thrown) {
        if (isNotFound(thrown)) return 0;
        throw thrown;
      }
    }),
  );
  return kinds.map((resource, at) => ({ kind: resourceName(resource), count: counts[at]! }));
}
