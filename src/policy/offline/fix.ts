// SPDX-License-Identifier: Apache-2.0
import { stringify } from "yaml";
import type { ManifestObject } from "#k8s/manifest.ts";
import { policyKey } from "../table.ts";
import { allowPolicy } from "./allow-policy.ts";
import { type OfflineCluster, withPolicies } from "./cluster.ts";
import { createJudge, type DirectionJudgement, type Judge, type Judgement } from "./judge.ts";
import { placeText } from "./text.ts";

/** One object to apply, or to delete. */
export interface Change {
  readonly action: "apply" | "delete";
  readonly why: string;
  readonly object: ManifestObject;
  readonly yaml: string;
}

/** A pod under many layers of policies needs as many changes. */
const maxChanges = 16;

/**
 * What would allow a denied connection: where nothing matched, a policy beside the others that allows just it, in the language of the policy that
 * isolates; where a rule denies it, that policy without the rule. Tried out before it is told. Empty: nothing found.
 */
export function smallestChange(judge: Judge, denied: Judgement): Change[] {
  const changes: Change[] = [];
  let cluster = judge.cluster;
  for (let step = 0; step < maxChanges; step++) {
    const path =
      step === 0 ? denied : createJudge(cluster, judge.enforcement).judge(denied.from, denied.to, denied);
    if (path.verdict === "allow") return merged(changes);
    const side = path.egress.verdict === "deny" ? path.egress : path.ingress;
    const change = side.reason === "rule" ? withoutRule(cluster, side) : addition(cluster, side, path);
    if (!change) return [];
    changes.push(change);
    const key = policyKey({
      kind: change.object.kind,
      namespace: change.object.metadata.namespace ?? "",
      name: change.object.metadata.name,
    });
    cluster = withPolicies(cluster, change.action === "apply" ? { put: [change] } : { remove: [key] });
  }
  return [];
}

/** Of several changes of one object the last has them all. */
function merged(changes: readonly Change[]): Change[] {
  const byName = new Map<string, Change>();
  for (const change of changes) {
    const { kind, metadata } = change.object;
    const key = `${kind} ${metadata.namespace ?? ""}/${metadata.name}`;
    const before = byName.get(key);
    byName.set(key, before ? { ...change, why: `${before.why}; ${change.why}` } : change);
  }
  return [...byName.values()];
}

function changeOf(action: Change["action"], object: ManifestObject, why: string): Change {
  return { action, why, object, yaml: stringify(object, { aliasDuplicateObjects: false }) };
}

function addition(cluster: OfflineCluster, side: DirectionJudgement, path: Judgement): Change | undefined {
  const kind = side.decidedBy[0]?.kind ?? "NetworkPolicy";
  const object = allowPolicy(cluster, { kind, side, path });
  return object && changeOf("apply", object, `allows ${side.direction} for just this`);
}

/** The object of the first rule that denies, without that rule. */
function withoutRule(cluster: OfflineCluster, side: DirectionJudgement): Change | undefined {
  const origin = side.decidedBy.find(({ field }) => field !== undefined);
  const policy = origin && cluster.policies.find(({ key }) => key === policyKey(origin));
  if (!origin?.field || !policy) return undefined;
  const object = asWritten(policy.object);
  const why = `takes out the rule that denies: ${placeText(origin)}; it no longer denies anybody else either`;
  if (!removeAt(object, origin.field)) return undefined;
  return !hasRules(object) ? changeOf("delete", policy.object, why) : changeOf("apply", object, why);
}

const lists = ["ingress", "egress", "ingressDeny", "egressDeny"];

function hasRules(object: ManifestObject): boolean {
  const { spec, specs = [] } = object as { readonly spec?: object; readonly specs?: readonly object[] };
  return [spec ?? {}, ...specs].some((part) => lists.some((list) => list in part));
}

/** The object as it would be written: without what the server adds. */
function asWritten(object: ManifestObject): ManifestObject {
  const { status: _status, ...rest } = JSON.parse(JSON.stringify(object)) as ManifestObject & {
    status?: unknown;
  };
  const { name, namespace, labels, annotations } = rest.metadata;
  const metadata = {
    name,
    ...(namespace && { namespace }),
    ...(labels && { labels }),
    ...(annotations && { annotations }),
  };
  return { ...rest, metadata };
}

/** Takes out the list element at `spec.ingressDeny[1]`; the list with its last one. */
function removeAt(object: ManifestObject, field: string): boolean {
  const parts = [...field.matchAll(/\[(\d+)\]|([^.[\]]+)/g)].map(([, index, name]) =>
    index === undefined ? name! : Number(index),
  );
  const index = parts.pop();
  const name = parts.pop();
  let holder = object as unknown as Record<string | number, unknown>;
  for (const part of parts) holder = (holder?.[part] ?? {}) as Record<string | number, unknown>;
  const list = name === undefined ? undefined : holder[name];
  if (!Array.isArray(list) || typeof index !== "number") return false;
  list.splice(index, 1);
  if (list.length === 0) delete holder[name!];
  return true;
}
