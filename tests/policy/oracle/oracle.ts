// SPDX-License-Identifier: Apache-2.0
import { ciliumVote } from "./cilium.ts";
import { type Bag, type Cluster, type Manifest, type Party, settingsOf, whoHas } from "./cluster.ts";
import { type TierAnswer, tierAnswers } from "./cluster-network-policy.ts";
import { networkVote } from "./network-policy.ts";
import { staysOpen } from "./never-lock-out.ts";
import { type Attempt, abstains, type Side, type Subject, type Vote } from "./side.ts";

/** What one end's policies say, and which of them say it. */
export interface Answer {
  /** `audit`: let through, and told: it would be denied if policies in audit were enforced. */
  readonly verdict: "allow" | "deny" | "audit";
  /** A rule says so; false: a default. */
  readonly explicit: boolean;
  /** `NetworkPolicy shop/web`: those whose rule decides; of a default denial, those that isolate the pod. */
  readonly policies: readonly string[];
}

/** Each list: every answer that the references leave open, mostly one. Undefined: that end is neither a pod of the first node nor the node. */
export interface Judgement {
  readonly egress: readonly Answer[] | undefined;
  readonly ingress: readonly Answer[] | undefined;
}

/** What the first node must say to an attempt, by the words of the references. */
export function judge(cluster: Cluster, policies: readonly Manifest[], attempt: Attempt): Judgement {
  const [from, to] = [whoHas(cluster, attempt.from), whoHas(cluster, attempt.to)];
  const [sender, receiver] = [subjectOf(cluster, from), subjectOf(cluster, to)];
  const ask = (subject: Subject, peer: Party, direction: Side["direction"]) =>
    judgeSide(policies, { cluster, subject, peer, direction, attempt });
  // A node reaches its own pods whatever its policy, and itself.
  const isKubelet = sender?.kind === "host" && receiver !== undefined;
  const isInside = sender?.kind === "host" && receiver?.kind === "host";
  return {
    egress: sender && !isKubelet ? ask(sender, to, "egress") : undefined,
    ingress: receiver && !isInside ? ask(receiver, from, "ingress") : undefined,
  };
}

function subjectOf({ nodes }: Cluster, party: Party): Subject | undefined {
  if (party.kind === "host") return { kind: "host", node: party.node };
  return party.kind === "pod" && party.pod.node === nodes[0]?.name ? party : undefined;
}

/** A policy with this annotation denies nothing, and a pod with it is denied nothing: what would be is only told. */
const auditAnnotation = "weft.io/policy-audit";

/** @param enforced what policies in audit deny is left out */
interface Asked {
  readonly policies: readonly Manifest[];
  readonly side: Side;
  readonly enforced: boolean;
}

function judgeSide(policies: readonly Manifest[], side: Side): Answer[] {
  const { enforcement, audit } = settingsOf(side.cluster);
  if (enforcement === "never") return [open];
  const answers = withPoliciesInAudit(policies, side);
  const { subject } = side;
  if (!audit && !(subject.kind === "pod" && isAudited(subject.pod))) return answers;
  return answers.map((answer) => (answer.verdict === "deny" ? { ...answer, verdict: "audit" } : answer));
}

function withPoliciesInAudit(policies: readonly Manifest[], side: Side): Answer[] {
  const enforced = afterTiers({ policies, side, enforced: true });
  if (!policies.some(({ metadata }) => isAudited(metadata))) return enforced;
  return enforced.flatMap((answer) => {
    if (answer.verdict === "deny") return [answer];
    const all = afterTiers({ policies, side, enforced: false });
    return all.map((one): Answer => (one.verdict === "deny" ? { ...one, verdict: "audit" } : answer));
  });
}

function isAudited({ annotations }: Pick<Manifest["metadata"], "annotations">): boolean {
  return annotations?.[auditAnnotation] === "true";
}

/** What no policy closes, then Admin, the policies of namespaces, Baseline: the first that decides. */
function afterTiers(asked: Asked): Answer[] {
  if (staysOpen(asked.side)) return [{ verdict: "allow", explicit: true, policies: [] }];
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
  if (!isAudited(policy.metadata)) return policy;
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
  const isSilent = final.length === 0 || final.length < baseline.length;
  return [...final.map(tierAnswer), ...(isSilent ? [unmatched(side)] : [])];
}

const open: Answer = { verdict: "allow", explicit: false, policies: [] };

/** Where every pod is isolated, by nobody's policy. The node is no pod. */
function unmatched({ cluster, subject }: Side): Answer {
  const isolated = settingsOf(cluster).enforcement === "always" && subject.kind === "pod";
  return isolated ? { ...open, verdict: "deny" } : open;
}

function voteOf(policy: Manifest, { side, enforced }: Asked): Vote {
  const vote = fullVote(policy, side);
  return enforced && isAudited(policy.metadata) ? { ...vote, isolates: false, denies: false } : vote;
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
 * Whether a conversation comes about anywhere in the cluster: each end is judged by the node it is on, or is. Undefined: the references
 * leave it open. What a pod says to itself meets no policy.
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
    if (end.kind === "outside") return [];
    const node = end.kind === "pod" ? end.pod.node : end.node.name;
    const { egress, ingress } = judge(seenFrom(cluster, node), policies, attempt);
    const said = index === 0 ? egress : ingress;
    return said ? [said] : [];
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
