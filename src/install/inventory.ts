// SPDX-License-Identifier: Apache-2.0
import { parse, stringify } from "yaml";
import type { KubeClient } from "#k8s/client.ts";
import type { KubeObject } from "#k8s/resource.ts";
import type { Manifest } from "./chart.ts";
import { getOptional } from "./cluster.ts";
import { installKinds } from "./kinds.ts";
import type { Tree } from "./values-merge.ts";

/** What an installation left in the cluster about itself, so that the next one knows what to take away. */
export interface Inventory {
  readonly version: string;
  /** As the user gave them. */
  readonly values: Tree;
  /** With what the cluster added. */
  readonly settled: Tree;
  readonly objects: readonly InventoryObject[];
}

export interface InventoryObject {
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
}

const name = "weft-inventory";

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export async function readInventory(
  client: KubeClient,
  namespace: string,
  signal: AbortSignal,
): Promise<Inventory | undefined> {
  const map = await getOptional<ConfigMap>(client, installKinds.ConfigMap, { namespace, name }, signal);
  if (!map) return undefined;
  const { version = "", values = "", settled = "", objects = "" } = map.data ?? {};
  return {
    version,
    values: (parse(values) ?? {}) as Tree,
    settled: (parse(settled) ?? {}) as Tree,
    objects: (parse(objects) ?? []) as InventoryObject[],
  };
}

/** The ConfigMap that says it. */
export function inventoryObject(
  namespace: string,
  inventory: Inventory,
): Manifest & { readonly data: unknown } {
  const { version, values, settled, objects } = inventory;
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name,
      namespace,
      labels: { "app.kubernetes.io/part-of": "weft", "app.kubernetes.io/managed-by": "weft" },
    },
    data: { version, values: stringify(values), settled: stringify(settled), objects: stringify(objects) },
  };
}

/** Definitions outlive an installation: with them goes everything of their kinds. */
export function inventoryOf(objects: readonly Manifest[]): InventoryObject[] {
  return objects
    .filter(({ kind }) => kind !== "CustomResourceDefinition" && kind !== "Namespace")
    .map(({ kind, metadata: { namespace, name: own } }) => ({
      kind,
      ...(namespace && { namespace }),
      name: own,
    }));
}

export function inventoryKey({ kind, namespace = "", name: own }: InventoryObject): string {
  return `${kind} ${namespace}/${own}`;
}
