// SPDX-License-Identifier: Apache-2.0
import type { ManifestObject } from "#k8s/manifest.ts";
import { cidrGroupRow } from "../from-cidr-group.ts";
import { withoutHosts } from "../host-policies.ts";
import { compileRow, languageOf } from "../languages.ts";
import { policyKey } from "../policy-key.ts";
import { plainRules, type Referenced } from "../references.ts";
import type { Rule } from "../rule.ts";
import type { PolicyRow } from "../table.ts";
import { checkedObject } from "./check-object.ts";
import { nodeLabels, nodesOf, type OfflineNode } from "./nodes.ts";
import type { SourcedObject } from "./objects.ts";
import { namedPorts, type OfflinePod, podsOf } from "./pods.ts";
import { type OfflineService, servicesOf } from "./services.ts";
import { type ClusterSettings, usualSettings } from "./settings.ts";

/** A cluster as its objects tell of it: nothing runs, nothing is asked. */
export interface OfflineCluster {
  readonly pods: readonly OfflinePod[];
  readonly services: readonly OfflineService[];
  readonly nodes: readonly OfflineNode[];
  readonly policies: readonly OfflinePolicy[];
  /** Labels of each namespace that an object is in. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** Numbers that label sets have in the real cluster, by `labelText`; others are worked out. */
  readonly identities: ReadonlyMap<string, number>;
  readonly settings: ClusterSettings;
  /** What policies may name beside pods. */
  readonly referenced: Referenced;
  /** All it was read from. */
  readonly objects: readonly SourcedObject[];
}

/** A policy object with what it compiled to. */
export interface OfflinePolicy {
  readonly key: string;
  readonly object: ManifestObject;
  readonly row: PolicyRow;
  readonly source?: string;
}

/**
 * The cluster that the objects describe. Kinds that have nothing to do with policy are passed over; a policy that would be refused is there, with
 * the reason and without rules. Of two objects of the same name the last counts.
 * @throws WeftError E_MANIFEST naming the field of an object, no policy, that is malformed
 */
export function loadCluster(
  all: readonly SourcedObject[],
  given: Partial<ClusterSettings> = {},
): OfflineCluster {
  const settings = { ...usualSettings, ...given };
  // Policies have readers of their own, and one that is wrong is told of beside the others.
  const objects = lastOfEach(all, settings.namespace).map((one) =>
    languageOf(one.object) ? one : checkedObject(one),
  );
  const namespaces = namespacesOf(objects, settings.namespace);
  const namespaceLabels = (name: string) => namespaces.get(name) ?? implicitLabels(name);
  const pods = podsOf(objects, settings.namespace, { ...settings, namespaceLabels });
  const services = servicesOf(objects, pods, settings.namespace);
  const named = pods
    .filter(({ hostNetwork }) => !hostNetwork)
    .map((pod) => ({ addresses: pod.addresses, namedPorts: namedPorts(pod) }));
  const nodes = nodesOf(objects);
  const referenced = { ...referencedIn(objects, services, nodes), pods: () => named };
  return {
    pods,
    services,
    nodes,
    policies: objects.flatMap((one) => policyOf(one, settings, referenced)),
    namespaces,
    identities: identitiesOf(objects),
    settings,
    referenced,
    objects,
  };
}

/** The cluster with some of its policies replaced, or taken away. Pods stay the ones they are. */
export function withPolicies(
  cluster: OfflineCluster,
  changes: { readonly put?: readonly SourcedObject[]; readonly remove?: readonly string[] },
): OfflineCluster {
  const put = (changes.put ?? []).flatMap((one) => policyOf(one, cluster.settings, cluster.referenced));
  const gone = new Set([...put.map(({ key }) => key), ...(changes.remove ?? [])]);
  return { ...cluster, policies: [...cluster.policies.filter(({ key }) => !gone.has(key)), ...put] };
}

function isKind(object: ManifestObject, apiVersion: string, kind: string): boolean {
  return object.apiVersion === apiVersion && object.kind === kind;
}

function lastOfEach(all: readonly SourcedObject[], namespace: string): SourcedObject[] {
  const byName = new Map<string, SourcedObject>();
  for (const one of all) {
    const { apiVersion, kind, metadata } = one.object;
    byName.set(`${apiVersion} ${kind} ${metadata.namespace ?? namespace}/${metadata.name}`, one);
  }
  return [...byName.values()];
}

function implicitLabels(name: string): Record<string, string> {
  return { "kubernetes.io/metadata.name": name };
}

function namespacesOf(objects: readonly SourcedObject[], namespace: string) {
  const found = new Map<string, Record<string, string>>();
  for (const { object } of objects) {
    const name = object.metadata.namespace ?? namespace;
    if (!found.has(name)) found.set(name, implicitLabels(name));
  }
  for (const { object } of objects) {
    const { name, labels } = object.metadata;
    if (isKind(object, "v1", "Namespace")) found.set(name, { ...labels, ...implicitLabels(name) });
  }
  return found;
}

/** What policies may name beside pods. A group that is not right is as one that is not there. */
function referencedIn(
  objects: readonly SourcedObject[],
  services: readonly OfflineService[],
  all: readonly OfflineNode[],
): Referenced {
  const nodes = all.map((node) => ({ ...node, labels: nodeLabels(node) }));
  const groups = objects.flatMap(({ object }) => {
    if (!object.apiVersion.startsWith("cilium.io/") || object.kind !== "CiliumCIDRGroup") return [];
    try {
      return [cidrGroupRow(object)];
    } catch {
      return [];
    }
  });
  return {
    cidrGroups: () => groups,
    services: () => services,
    nodes: () => nodes,
    addressesOf: ({ namespace, name }) => {
      const service = services.find((one) => one.namespace === namespace && one.name === name);
      const backends = (service?.ports ?? []).flatMap((port) => port.backends);
      return backends.flatMap(({ pod, address }) => pod?.addresses ?? (address ? [address] : []));
    },
  };
}

function policyOf(
  { object, sourceOf }: SourcedObject,
  settings: ClusterSettings,
  referenced: Referenced,
): OfflinePolicy[] {
  const language = languageOf(object);
  if (!language) return [];
  const placed =
    language.namespaced && object.metadata.namespace === undefined
      ? { ...object, metadata: { ...object.metadata, namespace: settings.namespace } }
      : object;
  const written = compileRow(language, placed, settings.keepsLabel);
  const row = settings.hostFirewall ? written : withoutHosts(written);
  const plain = plainRules(row.rules, referenced);
  const rules = sourceOf ? plain.rules.map((rule) => withSource(rule, sourceOf)) : plain.rules;
  const source = sourceOf?.("");
  const warnings = [...(row.warnings ?? []), ...plain.warnings];
  const whole = { ...row, rules, ...(warnings.length > 0 && { warnings }) };
  return [{ key: policyKey(row), object: placed, row: whole, ...(source && { source }) }];
}

function withSource(rule: Rule, sourceOf: (field: string) => string | undefined): Rule {
  const source = sourceOf(rule.origin.field ?? "spec");
  const objectSource = sourceOf("");
  const origin = { ...rule.origin, ...(source && { source }), ...(objectSource && { objectSource }) };
  return { ...rule, origin };
}

function identitiesOf(objects: readonly SourcedObject[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const { object } of objects) {
    if (!isKind(object, "cilium.io/v2", "CiliumIdentity")) continue;
    const labels = (object as { readonly "security-labels"?: Record<string, string> })["security-labels"];
    const list = Object.entries(labels ?? {}).map(([key, value]) => (value === "" ? key : `${key}=${value}`));
    found.set(list.sort().join(","), Number(object.metadata.name));
  }
  return found;
}
