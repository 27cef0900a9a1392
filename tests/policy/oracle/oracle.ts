// SPDX-License-Identifier: Apache-2.0
import { ciliumVote } from "./cilium.ts";
import { type Bag, type Cluster, type Manifest, type Pod, whoHas } from "./cluster.ts";
import { type TierAnswer, tierAnswers } from "./cluster-network-policy.ts";
import { networkVote } from "./network-policy.ts";
import { type Attempt, abstains, type Side, type Vote } from "./side.ts";

/** What one end's policies say, and which of them say it. */
export interface Answer {
  /** `audit`: let through, and told: it would be denied if policies in audit were enforced. */
  readonly verdict: "allow" | "deny" | "audit";
  /** A rule says so; false: a default. */
  readonly explicit: boolean;
  /** `NetworkPolicy shop/web`: those whose rule decides; of a default denial, those that isolate the pod. */
  readonly policies: readonly string[];
}

/** Each list: every answer that the references leave open, mostly one. Undefined: that end is no pod of the first node. */
export interface Judgement {
  readonly egress: readonly Answer[] | undefined;
  readonly ingress: readonly Answer[] | undefined;
}

/** What the first node must say to an attempt, by the words of the references. */
export function judge(cluster: Cluster, policies: readonly Manifest[], attempt: Attempt): Judgement {
  const [here] = cluster.nodes;
  const from = whoHas(cluster, attempt.from);
  const to = whoHas(cluster, attempt.to);
  const ask = (pod: Pod, direction: Side["direction"]) => {
    const peer = direction === "ingress" ? from : to;
    return judgeSide(policies, { cluster, pod, peer, direction, attempt });
  };
  return {
    egress: from.kind === "pod" && from.pod.node === here?.name ? ask(from.pod, "egress") : undefined,
    ingress: to.kind === "pod" && to.pod.node === here?.name ? ask(to.pod, "ingress") : undefined,
  };
}

/** A policy with this annotation denies nothing: what it would is only told. */
const auditAnnotation = "weft.io/policy-audit";

/** @param enforced what policies in audit deny is left out */
interface Asked {
  readonly policies: readonly Manifest[];
  readonly side: Side;
  readonly enforced: boolean;
}

function judgeSide(policies: readonly Manifest[], side: Side): Answer[] {
  const enforced = afterTiers({ policies, side, enforced: true });
  if (!policies.some(isAudited)) return enforced;
  return enforced.flatMap((answer) => {
    if (answer.verdict === "deny") return [answer];
    const all = afterTiers({ policies, side, enforced: false });
    return all.map((one): Answer => (one.verdict === "deny" ? { ...one, verdict: "audit" } : answer));
  });
}

function isAudited({ metadata }: Manifest): boolean {
  return metadata.annotations?.[auditAnnotation] === "true";
}

/** Admin, then the policies of namespaces, then Baseline: the first that decides. */
function afterTiers(asked: Asked): Answer[] {
  const admin = ofTier("Admin", asked);
  const final = admin.filter(({ action }) => action !== "Pass");
  const goesOn = admin.length === 0 || final.length < admin.length;
  return [...final.map(tierAnswer), ...(goesOn ? afterAdmin(asked) : [])];
}

function ofTier(tier: "Admin" | "Baseline", { policies, side, enforced }: Asked): TierAnswer[] {
  return tierAnswers(enforced ? policies.map(withoutDenials) : policies, tier, side);
}

function withoutDenials(policy: Manifest): Manifest {
  const { spec = {} } = policy;
  if (!isAudited(policy)) return policy;
  const kept = (rules: unknown) =>
    ((rules ?? []) as readonly Bag[]).filter(({ action }) => action !== "Deny");
  return { ...policy, spec: { ...spec, ingress: kept(spec.ingress), egress: kept(spec.egress) } };
}

function tierAnswer({ action, policies }: TierAnswer): Answer {
  return { verdict: action === "Accept" ? "allow" : "deny", explicit: true, policies: policies.map(nameOf) };
}

function afterAdmin(asked: Asked): Answer[] {
  const { policies, side } = asked;
  const votes = policies.map((policy) => ({ name: nameOf(policy), ...voteOf(policy, asked) }));
  const saying = (word: keyof Vote) => votes.filter((vote) => vote[word]).map(({ name }) => name);
  const denying = saying("denies");
  if (denying.length > 0) return [{ verdict: "deny", explicit: true, policies: denying }];
  const allowing = saying("allows");
  if (allowing.length > 0) return [{ verdict: "allow", explicit: true, policies: allowing }];
  const isolating = saying("isolates");
  // What a pod's own node sends it is let in when no rule denies it: the kubelet's probes.
  if (side.direction === "ingress" && side.peer.kind === "host") return [open];
  if (isolating.length > 0) return [{ verdict: "deny", explicit: false, policies: isolating }];
  const baseline = ofTier("Baseline", asked);
  const final = baseline.filter(({ action }) => action !== "Pass");
  return [...final.map(tierAnswer), ...(final.length === baseline.length && final.length > 0 ? [] : [open])];
}

const open: Answer = { verdict: "allow", explicit: false, policies: [] };

function voteOf(policy: Manifest, { side, enforced }: Asked): Vote {
  const vote = fullVote(policy, side);
  return enforced && isAudited(policy) ? { ...vote, isolates: false, denies: false } : vote;
}

function fullVote(policy: Manifest, side: Side): Vote {
  switch (policy.kind) {
    case "NetworkPolicy":
      return networkVote(policy, side);
    case "CiliumNetworkPolicy":
    case "CiliumClusterwideNetworkPolicy":
      return ciliumVote(policy, side);
    default:
      return abstains;
  }
}

export function nameOf({ kind, metadata: { namespace, name } }: Manifest): string {
  return namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}

/**
 * Whether a conversation comes about anywhere in the cluster: each end is judged by the node it is on. Undefined: the references leave
 * it open. What a pod says to itself meets no policy.
 */
export function mayConnect(
  cluster: Cluster,
  policies: readonly Manifest[],
  attempt: Attempt,
): boolean | undefined {
  const from = whoHas(cluster, attempt.from);
  const to = whoHas(cluster, attempt.to);
  if (from.kind === "pod" && to.kind === "pod" && from.pod === to.pod) return true;
  const ends = [from, to].flatMap((end, index) => {
    if (end.kind !== "pod") return [];
    const said = judge(seenFrom(cluster, end.pod.node), policies, attempt);
    return [(index === 0 ? said.egress : said.ingress) ?? []];
  });
  const verdicts = ends.map((answers) => new Set(answers.map(({ verdict }) => verdict)));
  if (verdicts.some((one) => one.has("deny") && one.size === 1)) return false;
  return verdicts.every((one) => one.size === 1) ? true : undefined;
}

function seenFrom(cluster: Cluster, name: string): Cluster {
  const [own, others] = [true, false].map((is) =>
    cluster.nodes.filter((node) => (node.name === name) === is),
  );
  return { ...cluster, nodes: [...own!, ...others!] };
}
