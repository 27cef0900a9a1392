// SPDX-License-Identifier: Apache-2.0
import type { LabelFilter } from "#identities/label-filter.ts";
import type { Labels } from "#model/labels.ts";
import type { Requirement, Selector } from "./rule.ts";

/** Keys of labels that say where a pod lives, without source. */
export const namespaceLabel = "io.kubernetes.pod.namespace";
export const namespaceLabelsPrefix = "io.cilium.k8s.namespace.labels.";

/** True when every requirement holds. A key of source `any:` stands for the label of that name from any source. */
export function matches(selector: Selector, labels: Labels): boolean {
  for (const requirement of selector.requirements) if (!holds(requirement, labels)) return false;
  return true;
}

function holds(requirement: Requirement, labels: Labels): boolean {
  const { key, operator, values } = requirement;
  const found = key.startsWith("any:") ? valuesOfAnySource(key.slice(4), labels) : valuesOf(key, labels);
  switch (operator) {
    case "Exists":
      return found.length > 0;
    case "DoesNotExist":
      return found.length === 0;
    case "In":
      return found.some((value) => values.includes(value));
    case "NotIn":
      return !found.some((value) => values.includes(value));
  }
}

/** The world is the world in either family: in clusters of both, an address of nobody's has the label of its own alone. */
function valuesOf(key: string, labels: Labels): string[] {
  const value = labels.get(key);
  if (value !== undefined) return [value];
  return key === "reserved:world" && worlds.some((world) => labels.has(world)) ? [""] : [];
}

const worlds = ["reserved:world-ipv4", "reserved:world-ipv6"] as const;

function valuesOfAnySource(name: string, labels: Labels): string[] {
  const found: string[] = [];
  for (const [key, value] of labels) if (key.slice(key.indexOf(":") + 1) === name) found.push(value);
  return found;
}

/** The label of the node itself, among the endpoints that policies select. */
export const hostLabel = "reserved:host";

/** Of a policy about nodes, beside what it requires of their labels. */
export const aboutHost: Requirement = { key: hostLabel, operator: "Exists", values: [] };

export function isAboutHost({ requirements }: Selector): boolean {
  return requirements.some(({ key, operator }) => key === hostLabel && operator === "Exists");
}

/** Whether a policy's subject is the endpoint: the node itself is none for a policy about pods, whatever it requires. */
export function selects(subject: Selector, labels: Labels): boolean {
  return isAboutHost(subject) === labels.has(hostLabel) && matches(subject, labels);
}

/** Label selector as Kubernetes objects carry it. */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>> | undefined;
  readonly matchExpressions?:
    | readonly {
        readonly key: string;
        readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
        readonly values?: readonly string[] | undefined;
      }[]
    | undefined;
}

/** Requirements of a Kubernetes label selector; `keyOf` gives each key its source. */
export function requirementsOf(selector: LabelSelector, keyOf: (key: string) => string): Requirement[] {
  const out: Requirement[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    out.push({ key: keyOf(key), operator: "In", values: [value] });
  }
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    out.push({ key: keyOf(key), operator, values: values ?? [] });
  }
  return out;
}

/** Cilium's keys: one without source matches labels of any source. */
export function sourced(key: string): string {
  return /^[a-z0-9][-a-z0-9]*:/.test(key) ? key : `any:${key}`;
}

/** Canonical text: equal selectors have equal texts, whatever order they were written in. */
export function selectorText(selector: Selector): string {
  if (selector.requirements.length === 0) return "(all)";
  return selector.requirements.map(requirementText).sort().join(", ");
}

function requirementText({ key, operator, values }: Requirement): string {
  const sorted = [...values].sort();
  if (operator === "Exists") return key;
  if (operator === "DoesNotExist") return `!${key}`;
  if (operator === "In")
    return sorted.length === 1 ? `${key}=${sorted[0]}` : `${key} in (${sorted.join(" ")})`;
  return `${key} notin (${sorted.join(" ")})`;
}

/** The first key by which nothing can be selected, since identities do not carry the label; without source. */
export function unselectableKey(selector: Selector, keeps: LabelFilter): string | undefined {
  // Labels of nodes are all there.
  if (selector.requirements.some(({ key }) => key === "reserved:remote-node" || key === "reserved:host"))
    return;
  const ofPods = selector.requirements.filter(({ key }) => /^(k8s|any):/.test(key));
  return ofPods.map(({ key }) => key.slice(key.indexOf(":") + 1)).find((name) => !keeps(name));
}
