// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isConflict } from "#k8s/errors.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import { clusterIdentityRange } from "#model/identity.ts";
import { type Labels, labelText } from "#model/labels.ts";
import type { Database, WritableTable } from "#store/table.ts";
import type { IdentityStore } from "./allocate.ts";
import type { Identity } from "./identity.ts";

/** cilium.io/v2 CiliumIdentity: the name is the number. */
export interface CiliumIdentityObject extends KubeObject {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly "security-labels"?: Readonly<Record<string, string>>;
}

/** @throws WeftError E_IDENTITY when the name is no number of the cluster's range. */
export function identityRow(object: CiliumIdentityObject): Identity {
  const id = Number(object.metadata.name);
  const { first, last } = clusterIdentityRange;
  if (!Number.isInteger(id) || id < first || id > last) {
    throw new WeftError(
      "E_IDENTITY",
      `CiliumIdentity "${object.metadata.name}" is not named by a number from ${first} to ${last}`,
    );
  }
  return { id, labels: new Map(Object.entries(object["security-labels"] ?? {})) };
}

function identityObject(id: number, labels: Labels): CiliumIdentityObject {
  const namespace = labels.get("k8s:io.kubernetes.pod.namespace");
  return {
    apiVersion: "cilium.io/v2",
    kind: "CiliumIdentity",
    metadata: {
      name: String(id),
      ...(namespace && { labels: { "io.kubernetes.pod.namespace": namespace } }),
    },
    "security-labels": Object.fromEntries(labels),
  };
}

/** Identities kept as CiliumIdentity objects; what this agent claims is in the table at once. */
export function apiIdentityStore(
  client: KubeClient,
  db: Database,
  identities: WritableTable<Identity>,
): IdentityStore {
  const remember = (id: number, labels: Labels) => db.write((tx) => tx.put(identities, { id, labels }));
  return {
    known: (id) => identities.get(String(id))?.labels,
    find(labels) {
      const { first, last } = clusterIdentityRange;
      const ids = [...identities.by("labels", labelText(labels))].map(({ id }) => id);
      const own = ids.filter((id) => id >= first && id <= last);
      return own.length > 0 ? Math.min(...own) : undefined;
    },
    async claim(id, labels, signal) {
      try {
        await client.create(resources.ciliumIdentities, identityObject(id, labels), { signal });
        remember(id, labels);
        return "claimed";
      } catch (error) {
        if (!isConflict(error)) throw error;
        const owner = await client.get<CiliumIdentityObject>(
          resources.ciliumIdentities,
          { name: String(id) },
          signal,
        );
        const row = identityRow(owner);
        remember(id, row.labels);
        return row.labels;
      }
    },
  };
}
