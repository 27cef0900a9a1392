// SPDX-License-Identifier: Apache-2.0
import { stringify } from "yaml";
import type { ManifestObject } from "#k8s/manifest.ts";
import { policyKey } from "../policy-key.ts";
import { allowPolicy } from "./allow-policy.ts";
import { type OfflineCluster, type OfflinePolicy, withPolicies } from "./cluster.ts";
import { isPod } from "./engine.ts";
import { createJudge, type DirectionJudgement, type Judge, type Judgement } from "./judge.ts";
import { narrowed } from "./narrow.ts";
import { hasRules, placeOf, replaceRule } from "./object-edit.ts";
import { overrulings } from "./overrule.ts";
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
 * What would allow a denied connection, and as little else as its language can say. Where nothing matched: a policy beside the others that allows
 * just it, in the language of the policy that isolates. Where a rule of a ClusterNetworkPolicy denies it: one of a stronger priority that
 * lets just it pass, or accepts it. Where one of a CiliumNetworkPolicy does, over which nothing of its tier can allow: that policy with the rule
 * made narrower, or else without it. Tried out before it is told. Empty: nothing found.
 */
export function smallestChange(judge: Judge, denied: Judgement): Change[] {
  const changes: Change[] = [];
  let { cluster } = judge;
  let path = denied;
  for (let step = 0; step < maxChanges; step++) {
    if (path.verdict === "allow") return merged(changes);
    const next = nextStep(cluster, path);
    if (!next) return [];
    changes.push(next.change);
    ({ cluster, path } = next);
  }
  return [];
}

interface Step {
  readonly change: Change;
  readonly cluster: OfflineCluster;
  readonly path: Judgement;
}

/** The first of the changes that helps: what denied in a direction no longer does. */
function nextStep(cluster: OfflineCluster, path: Judgement): Step | undefined {
  const direction = path.egress.verdict === "deny" ? "egress" : "ingress";
  const side = path[direction];
  const candidates =
    side.reason === "rule" ? exceptions(cluster, side, path) : [() => addition(cluster, side, path)];
  for (const candidate of candidates) {
    const change = candidate();
    if (!change) continue;
    const after = withChange(cluster, change);
    // Refused, it would be out of force as a whole.
    if (after.policies.some(({ key, row }) => key === keyOf(change) && row.refused)) continue;
    const now = createJudge(after).judge(path.from, path.to, path);
    if (isBetter(side, now[direction])) return { change, cluster: after, path: now };
  }
  return undefined;
}

function isBetter(before: DirectionJudgement, now: DirectionJudgement): boolean {
  if (now.verdict === "allow") return true;
  const text = ({ reason, decidedBy }: DirectionJudgement) =>
    JSON.stringify([reason, decidedBy.map(placeText)]);
  return text(before) !== text(now);
}

function keyOf({ object: { kind, metadata } }: Change): string {
  return policyKey({ kind, namespace: metadata.namespace ?? "", name: metadata.name });
}

function withChange(cluster: OfflineCluster, change: Change): OfflineCluster {
  return withPolicies(cluster, change.action === "apply" ? { put: [change] } : { remove: [keyOf(change)] });
}

/** Of several changes of one object the last has them all. */
function merged(changes: readonly Change[]): Change[] {
  const byName = new Map<string, Change>();
  for (const change of changes) {
    const key = keyOf(change);
    const before = byName.get(key);
    byName.set(key, before ? { ...change, why: `${before.why}; ${change.why}` } : change);
  }
  return [...byName.values()];
}

function changeOf(action: Change["action"], object: ManifestObject, why: string): Change {
  return { action, why, object, yaml: stringify(object, { aliasDuplicateObjects: false }) };
}

function addition(cluster: OfflineCluster, side: DirectionJudgement, path: Judgement): Change | undefined {
  // By the enforcement mode alone: the baseline still counts, which a policy that isolates would end.
  const kind = side.decidedBy[0]?.kind ?? "CiliumNetworkPolicy";
  const object = allowPolicy(cluster, { kind, side, path });
  return object && changeOf("apply", object, `allows ${side.direction} for just this`);
}

/** For a rule that denies, what gives away least first. */
function exceptions(
  cluster: OfflineCluster,
  side: DirectionJudgement,
  path: Judgement,
): (() => Change | undefined)[] {
  const origin = side.decidedBy.find(({ field }) => field !== undefined);
  const policy = origin && cluster.policies.find(({ key }) => key === policyKey(origin));
  if (!origin?.field || !policy) return [];
  const { field } = origin;
  const { subject, direction } = side;
  const what = placeText(origin);
  const overruled =
    policy.object.kind === "ClusterNetworkPolicy" && subject && isPod(subject)
      ? overrulings({ cluster, policy, field, direction, pod: subject, path })
      : [];
  const rule = policy.row.rules.find((one) => one.origin.field === field);
  return [
    ...overruled.map(
      ({ object, why }) =>
        () =>
          changeOf("apply", object, why),
    ),
    () => {
      const found = rule && narrowed({ cluster, policy, rule, side, path });
      const taken = found?.forAllPeers ? "the port, for all peers," : "just this";
      return found && rewritten(policy, found.object, `takes ${taken} out of the rule that denies: ${what}`);
    },
    () => withoutRule(policy, field, what),
  ];
}

/** The object without the rule. */
function withoutRule(policy: OfflinePolicy, field: string, what: string): Change | undefined {
  const place = placeOf(policy.object, field);
  if (!place) return undefined;
  replaceRule(place, []);
  const why = `takes out the rule that denies: ${what}; it no longer denies anybody else either`;
  return rewritten(policy, place.object, why);
}

/** A policy that says nothing any more goes. */
function rewritten(policy: OfflinePolicy, object: ManifestObject, why: string): Change {
  return hasRules(object) ? changeOf("apply", object, why) : changeOf("delete", policy.object, why);
}
