// SPDX-License-Identifier: Apache-2.0
import type { ManifestObject } from "#k8s/manifest.ts";

/** Where a rule stands in an object that is about to be changed. */
export interface RulePlace {
  readonly object: ManifestObject;
  /** What holds the list: `spec`, or one of `specs`. */
  readonly part: Record<string, unknown>;
  /** Name of the list. */
  readonly field: string;
  readonly list: Record<string, unknown>[];
  readonly index: number;
}

/** A copy of the object as it would be written, without what the server adds. */
function asWritten(object: ManifestObject): ManifestObject {
  const { status: _status, ...rest } = JSON.parse(JSON.stringify(object)) as ManifestObject & {
    status?: unknown;
  };
  const { name, namespace, labels, annotations = {} } = rest.metadata;
  const kept = Object.entries(annotations).filter(([key]) => !serverSide.has(key));
  const metadata = {
    name,
    ...(namespace && { namespace }),
    ...(labels && { labels }),
    ...(kept.length > 0 && { annotations: Object.fromEntries(kept) }),
  };
  return { ...rest, metadata };
}

/** They tell of the object as it was applied. */
const serverSide = new Set(["weft.io/source", "kubectl.kubernetes.io/last-applied-configuration"]);

/** Finds `spec.ingressDeny[1]` in a copy of the object. */
export function placeOf(object: ManifestObject, path: string): RulePlace | undefined {
  const [, at, field, index] = /^(spec|specs\[\d+\])\.(\w+)\[(\d+)\]$/.exec(path) ?? [];
  if (at === undefined || field === undefined) return undefined;
  const copy = asWritten(object) as ManifestObject & Record<string, unknown>;
  const number = /\d+/.exec(at)?.[0];
  const part = (number === undefined ? copy["spec"] : (copy["specs"] as unknown[])?.[Number(number)]) as
    | Record<string, unknown>
    | undefined;
  const list = part?.[field];
  if (!part || !Array.isArray(list)) return undefined;
  return { object: copy, part, field, list, index: Number(index) };
}

const isolating = {
  ingress: "ingress",
  ingressDeny: "ingress",
  egress: "egress",
  egressDeny: "egress",
} as const;

/**
 * Puts others in the rule's place. Whom the part isolated stays isolated: where it has no rule of the direction left, it gets one that matches
 * nothing.
 */
export function replaceRule({ part, field, list, index }: RulePlace, by: readonly object[]): void {
  list.splice(index, 1, ...(by as Record<string, unknown>[]));
  if (list.length > 0) return;
  delete part[field];
  const direction = isolating[field as keyof typeof isolating];
  const others = [direction, `${direction}Deny`].some((name) => name in part);
  const stated = (part["enableDefaultDeny"] as Record<string, boolean> | undefined)?.[direction];
  if (!others && stated !== false && !("subject" in part)) part[field] = [{}];
}

const lists = ["ingress", "egress", "ingressDeny", "egressDeny"];

/** Whether anything is left of a policy. */
export function hasRules(object: ManifestObject): boolean {
  const { spec, specs = [] } = object as { readonly spec?: object; readonly specs?: readonly object[] };
  return [spec ?? {}, ...specs].some((part) => lists.some((list) => list in part));
}
