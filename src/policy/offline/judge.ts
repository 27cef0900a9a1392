// SPDX-License-Identifier: Apache-2.0
import { auditAnnotation, isSwitchedOn } from "#model/annotations.ts";
import { family } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";
import type { PortQuestion } from "#model/port.ts";
import type { PolicyEntry, ResolvedPolicy, Rule, RuleOrigin } from "../rule.ts";
import { selects } from "../selector.ts";
import { verdict } from "../verdict.ts";
import type { OfflineCluster } from "./cluster.ts";
import type { End } from "./end.ts";
import { isPod, type Known, resolveCluster, type Subject, subjectLabels } from "./engine.ts";
import { createIdentifier, type Identifier, nodeOfEnd } from "./identify.ts";

/**
 * Why a direction is allowed or denied. `rule`: a rule says so. `default-deny`: policies isolate the endpoint, and nothing matched. `open`: policies
 * select it, none isolates it, and nothing matched. `no-policy`: none selects it. `no-endpoint`: the side is nobody that policies select (an
 * address outside; a node where the host firewall is off). `itself`: a pod or a node is never denied itself. `own-node`: what a node sends its
 * own pods is judged by their ingress alone. `audit`: allowed, and told: it would be denied but for an audit.
 */
export type Reason =
  | "rule"
  | "default-deny"
  | "audit"
  | "open"
  | "no-policy"
  | "no-endpoint"
  | "itself"
  | "own-node";

export interface DirectionJudgement {
  readonly direction: "ingress" | "egress";
  readonly verdict: "allow" | "deny";
  readonly reason: Reason;
  /** The other side's. */
  readonly identity: number;
  readonly block?: number;
  /** Whose policy it is. */
  readonly subject?: Subject;
  /** Rules of this direction that select it. */
  readonly selecting: readonly Rule[];
  readonly policy?: ResolvedPolicy;
  readonly entry?: PolicyEntry;
  /** The rules that decided; of a default denial, the objects that isolate. */
  readonly decidedBy: readonly RuleOrigin[];
}

export interface Judgement extends PortQuestion {
  readonly from: End;
  readonly to: End;
  readonly verdict: "allow" | "deny";
  readonly egress: DirectionJudgement;
  readonly ingress: DirectionJudgement;
}

/** Answers questions about a cluster, by the entries that its nodes' kernels would hold. */
export interface Judge {
  readonly cluster: OfflineCluster;
  /** Of the connection between two ends as they are: a service's address is not its backend's. */
  judge(from: End, to: End, port: PortQuestion): Judgement;
  labelsOf(identity: number): Labels;
  /** The identity an end has to the policy of the other. */
  identityOf(end: End, other: End): number;
  /** What a pod's or node's policy map holds; undefined: no policy selects it. */
  policyOf(subject: Subject): ResolvedPolicy | undefined;
  readonly policies: readonly ResolvedPolicy[];
  /** Drops what no rule of the direction allows. */
  isIsolated(subject: Subject, direction: "ingress" | "egress"): boolean;
}

/** The engine that agents run, with the settings they have, fed with a cluster's objects. */
export function createJudge(cluster: OfflineCluster): Judge {
  const known = resolveCluster(cluster);
  const identifier = createIdentifier(known);
  const context: Context = { known, identifier, ...lookUps(known) };
  return {
    cluster,
    identityOf: (end, other) => identifier.identityOf(end, other),
    labelsOf: (identity) => known.labels.get(identity) ?? new Map(),
    policyOf: (subject) => known.policyOf.get(subject),
    policies: known.policies,
    isIsolated: (subject, direction) => isIsolated(context, subject, direction),
    judge(from, to, asked) {
      const port = echoOf(from, to, asked);
      const egress = judgeSide(context, { direction: "egress", own: from, peer: to, port });
      const ingress = judgeSide(context, { direction: "ingress", own: to, peer: from, port });
      const denied = egress.verdict === "deny" || ingress.verdict === "deny";
      return { from, to, ...port, verdict: denied ? "deny" : "allow", egress, ingress };
    },
  };
}

/** A ping of an IPv6 address is an ICMPv6 one. */
function echoOf(from: End, to: End, { port, proto }: PortQuestion): PortQuestion {
  const v6 = [from, to].some((end) => end.kind === "address" && family(end.address) === 6);
  return v6 && proto === 1 && port === 8 ? { port: 128, proto: 58 } : { port, proto };
}

type Direction = "ingress" | "egress";

/** What is looked up again and again: a table of a large cluster asks a million times. */
interface LookUps {
  selectingOf(subject: Subject, direction: Direction): readonly Rule[];
  /** The entries that say anything of these identities. */
  entriesOf(policy: ResolvedPolicy, identities: readonly (number | undefined)[]): PolicyEntry[];
}

interface Context extends LookUps {
  readonly known: Known;
  readonly identifier: Identifier;
}

function lookUps({ rules }: Known): LookUps {
  const selecting = new Map<Subject, Record<Direction, readonly Rule[]>>();
  const byIdentity = new Map<ResolvedPolicy, Map<number, PolicyEntry[]>>();
  return {
    selectingOf(subject, direction) {
      let found = selecting.get(subject);
      if (!found) {
        const labels = subjectLabels(subject);
        const all = rules.filter((rule) => selects(rule.subject, labels));
        const of = (one: Direction) => all.filter((rule) => rule.direction === one);
        found = { ingress: of("ingress"), egress: of("egress") };
        selecting.set(subject, found);
      }
      return found[direction];
    },
    entriesOf(policy, identities) {
      let index = byIdentity.get(policy);
      if (!index) {
        index = Map.groupBy(policy.entries, ({ identity }) => identity);
        byIdentity.set(policy, index);
      }
      return identities.flatMap((identity) => (identity === undefined ? [] : (index.get(identity) ?? [])));
    },
  };
}

function isIsolated({ known, selectingOf }: Context, subject: Subject, direction: Direction): boolean {
  const { enforcement } = known.cluster.settings;
  if (enforcement === "never" || isAudited(known, subject)) return false;
  if (enforcement === "always" && isPod(subject)) return true;
  return selectingOf(subject, direction).some(({ defaultDeny, audit }) => defaultDeny && !audit);
}

interface Side {
  readonly direction: Direction;
  readonly own: End;
  readonly peer: End;
  readonly port: PortQuestion;
}

function judgeSide(context: Context, side: Side): DirectionJudgement {
  const { known, identifier, selectingOf } = context;
  const { direction, own, peer, port } = side;
  const identity = identifier.identityOf(peer, own);
  const block = identifier.blockOf(peer);
  const head = { direction, identity, ...(block !== undefined && { block }) };
  const allowed = (reason: Reason, more: Partial<DirectionJudgement> = {}): DirectionJudgement => ({
    ...head,
    ...{ verdict: "allow", reason, selecting: [], decidedBy: [] },
    ...more,
  });
  const subject = subjectOf(known, own, peer);
  if (!subject) return allowed("no-endpoint");
  const selecting = selectingOf(subject, direction);
  const unjudged = unjudgedReason(known, subject, side);
  if (unjudged) return allowed(unjudged, { selecting, subject });
  const policy = known.policyOf.get(subject);
  if (!policy) return allowed("no-policy", { selecting, subject });
  const entries = context.entriesOf(policy, [identity, 0, block]);
  const said = verdict({ ...policy, entries }, { ...head, ...port });
  const { entry } = said;
  const silent = selecting.length === 0 ? "no-policy" : "open";
  const plain = said.explicit ? "rule" : said.verdict === "allow" ? silent : "default-deny";
  const audited = said.verdict === "audit" || (said.verdict === "deny" && isAudited(known, subject));
  return {
    ...head,
    verdict: said.verdict === "deny" && !audited ? "deny" : "allow",
    reason: audited ? "audit" : plain,
    subject,
    selecting,
    policy,
    ...(entry && { entry }),
    decidedBy: entry ? known.origins(entry.rule) : [],
  };
}

/** Who that is to policies; undefined: nobody that they select. */
function subjectOf({ cluster }: Known, own: End, peer: End): Subject | undefined {
  if (own.kind === "pod" && !own.pod.hostNetwork) return own.pod;
  return cluster.settings.hostFirewall && nodeOfEnd(cluster, own, peer);
}

function unjudgedReason({ cluster }: Known, subject: Subject, side: Side): Reason | undefined {
  const { direction, peer, own } = side;
  if (isPod(subject)) return peer.kind === "pod" && peer.pod === subject ? "itself" : undefined;
  if (nodeOfEnd(cluster, peer, own) === subject) return "itself";
  const toOwnPod = direction === "egress" && peer.kind === "pod" && peer.pod.node === subject.name;
  return toOwnPod ? "own-node" : undefined;
}

function isAudited({ cluster }: Known, subject: Subject): boolean {
  return cluster.settings.audit || (isPod(subject) && isSwitchedOn(subject.annotations, auditAnnotation));
}
