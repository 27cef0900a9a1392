// SPDX-License-Identifier: Apache-2.0
import type { ManifestDocument } from "#k8s/manifest.ts";
import { loadManifests } from "#lab/manifest.ts";
import { loadCluster, type OfflineCluster } from "#policy/offline/cluster.ts";
import type { SourcedObject } from "#policy/offline/objects.ts";
import { clusterSettings, type SettingsArguments } from "./cluster-settings.ts";

/** Objects of files, which know the line of each field. @throws WeftError E_MANIFEST, as `loadManifests` */
export function fileObjects(paths: readonly string[]): SourcedObject[] {
  return loadManifests(paths).map(sourced);
}

function sourced({ object, file, line, lineOf }: ManifestDocument): SourcedObject {
  return { object, sourceOf: (field) => `${file}:${field === "" ? line : lineOf(field)}` };
}

export interface FileClusterOptions extends SettingsArguments {
  /** Of objects that name none. */
  readonly namespace?: string;
}

/** The cluster that manifests describe, its agents set as the options say, or as the chart's ConfigMap among the manifests. */
export function fileCluster(paths: readonly string[], options: FileClusterOptions = {}): OfflineCluster {
  const objects = fileObjects(paths);
  const settings = clusterSettings(
    options,
    objects.map(({ object }) => object),
  );
  const { namespace } = options;
  return loadCluster(objects, { ...settings, ...(namespace !== undefined && { namespace }) });
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
