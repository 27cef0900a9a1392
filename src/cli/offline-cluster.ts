// SPDX-License-Identifier: Apache-2.0
import type { ManifestDocument } from "#k8s/manifest.ts";
import { loadManifests } from "#lab/manifest.ts";
import { WeftError } from "#lib/errors.ts";
import { loadCluster, type OfflineCluster } from "#policy/offline/cluster.ts";
import type { SourcedObject } from "#policy/offline/objects.ts";
import type { Enforcement } from "#policy/resolve.ts";

/** Objects of files, which know the line of each field. @throws WeftError E_MANIFEST, as `loadManifests` */
export function fileObjects(paths: readonly string[]): SourcedObject[] {
  return loadManifests(paths).map(sourced);
}

function sourced({ object, file, line, lineOf }: ManifestDocument): SourcedObject {
  return { object, sourceOf: (field) => `${file}:${field === "" ? line : lineOf(field)}` };
}

/** The cluster that manifests describe. */
export function fileCluster(paths: readonly string[], namespace?: string): OfflineCluster {
  return loadCluster(fileObjects(paths), namespace === undefined ? {} : { namespace });
}

/** What of a cluster's policies is not in force, a line each: nobody should take the rest for the whole. */
export function refusals(cluster: OfflineCluster): string[] {
  return cluster.policies.flatMap(({ row, source, key }) => {
    const at = source ? `${source}: ` : "";
    const { warnings = [] } = row;
    if (!row.refused) return warnings.map((warning) => `${at}${key}: ${warning}`);
    const { message } = row.refused;
    const said = message.startsWith(row.kind) ? message : `${key}: ${message}`;
    return [`${at}${said}: the policy is not in force`];
  });
}

export function collect(value: string, list: string[] = []): string[] {
  return [...list, value];
}

/** The agents' setting `policyEnforcement`, which manifests do not tell. @throws WeftError E_USAGE */
export function enforcementOf(text: string): Enforcement {
  if (text === "default" || text === "always" || text === "never") return text;
  throw new WeftError("E_USAGE", `unknown enforcement mode "${text}"`, {
    hint: "one of: default, always, never",
  });
}
