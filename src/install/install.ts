// SPDX-License-Identifier: Apache-2.0
import { crdVersionLabel } from "#api/crd/definition.ts";
import { customResourceDefinitions } from "#api/crd/definitions.ts";
import type { KubeClient } from "#k8s/client.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import { type Applied, applyObject, checkObject, deleteObject } from "./apply.ts";
import { type Change, changedValues, checkChanges, checkVersion, compareVersions } from "./changes.ts";
import { type Chart, completeValues, type Manifest, renderChart } from "./chart.ts";
import { clusterFacts, getOptional } from "./cluster.ts";
import { type Inventory, inventoryKey, inventoryObject, inventoryOf, readInventory } from "./inventory.ts";
import { inOrder, installKinds } from "./kinds.ts";
import { settleValues } from "./settle.ts";
import { mergeValues, type Tree } from "./values-merge.ts";

export interface InstallOptions {
  readonly client: KubeClient;
  readonly chart: Chart;
  readonly namespace: string;
  /** As the user gave them, over the chart's defaults. */
  readonly values: Tree;
  /** There has to be an installation; its values are kept below the given ones. */
  readonly upgrade: boolean;
  /** With `upgrade`: forget the values given before. */
  readonly resetValues?: boolean;
  readonly allowDisruption?: boolean;
  readonly allowDowngrade?: boolean;
  readonly signal: AbortSignal;
}

/** What an installation would do; nothing has been written. */
export interface Plan {
  /** In the order of applying. */
  readonly objects: readonly Manifest[];
  readonly inventory: Inventory;
  readonly installedVersion: string | undefined;
  readonly changes: readonly Change[];
  readonly warnings: readonly string[];
  readonly stale: Inventory["objects"];
}

/**
 * Reads the cluster and works out what is to be applied.
 * @throws WeftError E_VALUES, E_PREFLIGHT, E_HELM, E_NOT_INSTALLED, E_DISRUPTIVE, E_DOWNGRADE
 */
export async function planInstall(options: InstallOptions): Promise<Plan> {
  const { client, chart, namespace, signal, upgrade } = options;
  const [facts, before] = await Promise.all([
    clusterFacts(client, signal),
    readInventory(client, namespace, signal),
  ]);
  await refuseHelm(client, namespace, signal);
  if (upgrade && !before)
    throw new WeftError("E_NOT_INSTALLED", `there is no installation of Weft in namespace ${namespace}`, {
      hint: "`weft install` makes one",
    });
  const keep = upgrade && before && options.resetValues !== true;
  const values = keep ? mergeValues(before.values, options.values) : options.values;
  const { values: settled, warnings } = await settleValues(client, chart, { given: values, facts, signal });
  const changes = before
    ? changedValues(mergeValues(chart.defaults, before.settled), completeValues(chart, settled))
    : [];
  if (before) {
    checkVersion(before.version, chart.appVersion, options.allowDowngrade === true);
    checkChanges(changes, options.allowDisruption === true);
  }
  const rendered = renderChart(chart, { namespace, values: settled });
  const objects = inOrder([...(await definitions(client, signal)), ...rendered]);
  const inventory = { version: chart.appVersion, values, settled, objects: inventoryOf(rendered) };
  const kept = new Set(inventory.objects.map(inventoryKey));
  return {
    objects: [...(await newNamespace(client, namespace, signal)), ...objects],
    inventory,
    installedVersion: before?.version,
    changes,
    warnings,
    stale: (before?.objects ?? []).filter((object) => !kept.has(inventoryKey(object))),
  };
}

/**
 * Applies a plan: every object is checked by the server before the first is written; what an earlier version had and this one has not
 * is deleted at the end.
 * @throws WeftError E_APPLY naming the object
 */
export async function applyPlan(
  { client, namespace, signal }: Pick<InstallOptions, "client" | "namespace" | "signal">,
  plan: Plan,
  onApplied: (applied: Applied) => void = () => {},
): Promise<void> {
  const comes = plan.objects.some(({ kind }) => kind === "Namespace");
  for (const object of plan.objects) {
    // A namespace that is only about to be made cannot judge what will be in it.
    if (!comes || object.metadata.namespace === undefined) await checkObject(client, object, signal);
  }
  const applyAll = async (objects: readonly Manifest[]) => {
    for (const object of objects) onApplied(await applyObject(client, object, signal));
  };
  await applyAll(plan.objects.filter(({ kind }) => kind === "Namespace"));
  // Both the old and the new, until the new state is whole: whatever ends this half-way, the next run knows all there may be.
  const both = { ...plan.inventory, objects: [...plan.inventory.objects, ...plan.stale] };
  await applyObject(client, inventoryObject(namespace, both), signal);
  await applyAll(plan.objects.filter(({ kind }) => kind !== "Namespace"));
  for (const object of plan.stale) onApplied(await deleteObject(client, object, signal));
  await applyObject(client, inventoryObject(namespace, plan.inventory), signal);
}

/** The definitions of Weft's kinds, without those the cluster has in a newer version. */
async function definitions(client: KubeClient, signal: AbortSignal): Promise<Manifest[]> {
  const out: Manifest[] = [];
  for (const definition of customResourceDefinitions) {
    const { name, labels } = definition.metadata;
    const found = await getOptional<KubeObject & { metadata: Manifest["metadata"] }>(
      client,
      resources.customResourceDefinitions,
      { name },
      signal,
    );
    const there = found?.metadata.labels?.[crdVersionLabel];
    const ours = labels?.[crdVersionLabel] ?? "";
    if (there === undefined || compareVersions(there, ours) <= 0) out.push(definition);
  }
  return out;
}

/** Agents are privileged pods: a namespace of their own has to allow those. */
async function newNamespace(client: KubeClient, name: string, signal: AbortSignal): Promise<Manifest[]> {
  if (await getOptional(client, resources.namespaces, { name }, signal)) return [];
  const labels = { "pod-security.kubernetes.io/enforce": "privileged" };
  return [{ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } }];
}

async function refuseHelm(client: KubeClient, namespace: string, signal: AbortSignal): Promise<void> {
  const set = await getOptional<KubeObject & { metadata: Manifest["metadata"] }>(
    client,
    installKinds.DaemonSet,
    { namespace, name: "weft" },
    signal,
  );
  if (set?.metadata.labels?.["app.kubernetes.io/managed-by"] !== "Helm") return;
  throw new WeftError("E_HELM", `Weft was installed into namespace ${namespace} by Helm`, {
    hint: "go on with `helm upgrade` or `helm uninstall`",
  });
}
