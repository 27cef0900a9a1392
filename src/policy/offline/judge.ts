// SPDX-License-Identifier: Apache-2.0

import { auditAnnotation, isSwitchedOn } from "#model/annotations.ts";
import { ReservedIdentity, reservedNames } from "#model/identity.ts";
import { type Address, contains, family, type Prefix, prefixBits } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";
import type { Enforcement } from "../resolve.ts";
import type { PolicyEntry, ResolvedPolicy, Rule, RuleOrigin } from "../rule.ts";
import { matches } from "../selector.ts";
import { verdict } from "../verdict.ts";
import type { OfflineCluster, OfflineNode } from "./cluster.ts";
import { type Known, resolveCluster } from "./engine.ts";
import type { OfflinePod } from "./pods.ts";
import type { PortQuestion } from "./ports.ts";

/** One side of a connection. */
export type End =
  | { readonly kind: "pod"; readonly pod: OfflinePod }
  | { readonly kind: "address"; readonly address: Address }
  /** Whoever has a reserved identity: `world` (an address no policy names), `host`, `remote-node`, `kube-apiserver`, … */
  | { readonly kind: "reserved"; readonly name: string; readonly address?: Address };

/**
 * Why a direction is allowed or denied. `rule`: a rule says so. `default-deny`: policies isolate the endpoint, and nothing matched. `open`: policies
 * select it, none isolates it, and nothing matched. `no-policy`: none selects it. `no-endpoint`: the side is no pod, so it has no policy.
 * `itself`: a pod is never denied itself. `audit`: allowed, and told: policies in audit would deny it, or the pod is in audit itself.
 */
export type Reason = "rule" | "default-deny" | "audit" | "open" | "no-policy" | "no-endpoint" | "itself";

export interface DirectionJudgement {
  readonly direction: "ingress" | "egress";
  readonly verdict: "allow" | "deny";
  readonly reason: Reason;
  /** The other side's. */
  readonly identity: number;
  readonly block?: number;
  /** Whose policy it is. */
  readonly pod?: OfflinePod;
  /** Rules of this direction that select the pod. */
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
  readonly enforcement: Enforcement;
  /** Of the connection between two ends as they are: a service's address is not its backend's. */
  judge(from: End, to: End, port: PortQuestion): Judgement;
  labelsOf(identity: number): Labels;
  /** The identity an end has to the policy of the other. */
  identityOf(end: End, other: End): number;
  /** What a pod's policy map holds; undefined: no policy selects it. */
  policyOf(pod: OfflinePod): ResolvedPolicy | undefined;
  readonly policies: readonly ResolvedPolicy[];
  /** Drops what no rule of the direction allows. */
  isIsolated(pod: OfflinePod, direction: "ingress" | "egress"): boolean;
}

/** The engine that agents run, fed with a cluster's objects. */
export function createJudge(cluster: OfflineCluster, enforcement: Enforcement = "default"): Judge {
  const known = resolveCluster(cluster, enforcement);
  const identityOf = (end: End, other: End) => endIdentity(known, end, other);
  return {
    cluster,
    enforcement,
    identityOf,
    labelsOf: (identity) => known.labels.get(identity) ?? new Map(),
    policyOf: (pod) => known.policyOf.get(pod),
    policies: known.policies,
    isIsolated: (pod, direction) =>
      !isInAudit(pod) &&
      known.rules.some(
        (rule) =>
          rule.direction === direction &&
          rule.defaultDeny &&
          !rule.audit &&
          matches(rule.subject, pod.labels),
      ),
    judge(from, to, asked) {
      const port = echoOf(from, to, asked);
      const context = { known, port };
      const itself = from.kind === "pod" && to.kind === "pod" && from.pod === to.pod && !from.pod.hostNetwork;
      const egress = judgeDirection("egress", { ...context, own: from, peer: to, itself });
      const ingress = judgeDirection("ingress", { ...context, own: to, peer: from, itself });
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

interface Asked {
  readonly known: Known;
  readonly port: PortQuestion;
  readonly own: End;
  readonly peer: End;
  readonly itself: boolean;
}

function judgeDirection(
  direction: "ingress" | "egress",
  { known, port, own, peer, itself }: Asked,
): DirectionJudgement {
  const identity = endIdentity(known, peer, own);
  const block = blockOf(known, peer);
  const head = { direction, identity, ...(block !== undefined && { block }) };
  const allowed = (reason: Reason, selecting: readonly Rule[] = []): DirectionJudgement => ({
    ...head,
    verdict: "allow",
    reason,
    selecting,
    decidedBy: [],
  });
  if (own.kind !== "pod" || own.pod.hostNetwork) return allowed("no-endpoint");
  const { pod } = own;
  const selecting = known.rules.filter(
    (rule) => rule.direction === direction && matches(rule.subject, pod.labels),
  );
  if (itself) return { ...allowed("itself", selecting), pod };
  const policy = known.policyOf.get(pod);
  if (!policy) return { ...allowed("no-policy", selecting), pod };
  const said = verdict(policy, { ...head, ...port });
  const origins = said.entry ? known.origins(said.entry.rule) : [];
  const silent = selecting.length === 0 ? "no-policy" : "open";
  const plain = said.explicit ? "rule" : said.verdict === "allow" ? silent : "default-deny";
  const isTold = said.verdict === "audit" || (said.verdict === "deny" && isInAudit(pod));
  return {
    ...head,
    verdict: said.verdict === "deny" && !isTold ? "deny" : "allow",
    reason: isTold ? "audit" : plain,
    pod,
    selecting,
    policy,
    ...(said.entry && { entry: said.entry }),
    decidedBy: origins,
  };
}

/** What is denied it goes through, and is told. */
function isInAudit({ annotations }: OfflinePod): boolean {
  return isSwitchedOn(annotations, auditAnnotation);
}

function endIdentity(known: Known, end: End, other: End): number {
  if (end.kind === "pod" && !end.pod.hostNetwork) return known.podIdentity.get(end.pod) ?? 0;
  if (end.kind === "pod") return nodeIdentity(known, nodeNamed(known, end.pod.node), end.pod.node, other);
  if (end.kind === "reserved") return reservedIdentity(known, end.name);
  const { address } = end;
  const pod = known.cluster.pods.find((one) => !one.hostNetwork && one.addresses.includes(address));
  if (pod) return known.podIdentity.get(pod) ?? 0;
  const node = known.cluster.nodes.find(({ addresses }) => addresses.includes(address));
  if (node && isOn(node.name, other)) return ReservedIdentity.host;
  if (known.apiServers.has(address)) return ReservedIdentity.kubeApiserver;
  if (node) return nodeIdentity(known, node, node.name, other);
  return known.cidrs.get(longest(known.cidrs.keys(), address) ?? ("" as Prefix)) ?? worldOf(address);
}

function nodeNamed(known: Known, name: string): OfflineNode | undefined {
  return known.cluster.nodes.find((node) => node.name === name);
}

function nodeIdentity(known: Known, node: OfflineNode | undefined, name: string, other: End): number {
  if (name !== "" && isOn(name, other)) return ReservedIdentity.host;
  return (node && known.nodeIdentity.get(node)) ?? ReservedIdentity.remoteNode;
}

function isOn(node: string, end: End): boolean {
  return end.kind === "pod" && end.pod.node === node;
}

function reservedIdentity(known: Known, name: string): number {
  if (name === "world") {
    const every = [...known.cidrs.keys()].find((prefix) => prefix === "0.0.0.0/0");
    return every ? known.cidrs.get(every)! : ReservedIdentity.worldV4;
  }
  for (const [id, text] of reservedNames) if (text === name) return id;
  return ReservedIdentity.unknown;
}

function worldOf(address: Address): number {
  return family(address) === 4 ? ReservedIdentity.worldV4 : ReservedIdentity.worldV6;
}

/** Beside who it is: what blocks say of its address. Of a pod that has none yet, nothing. */
function blockOf(known: Known, end: End): number | undefined {
  if (end.kind === "reserved" && end.address === undefined) {
    const every = [...known.blocks.keys()].find((prefix) => prefix === "0.0.0.0/0");
    return end.name === "world" && every ? known.blocks.get(every) : undefined;
  }
  const address = end.kind === "pod" ? end.pod.addresses[0] : end.address;
  const prefix = address === undefined ? undefined : longest(known.blocks.keys(), address);
  return prefix === undefined ? undefined : known.blocks.get(prefix);
}

function longest(prefixes: Iterable<Prefix>, address: Address): Prefix | undefined {
  let best: Prefix | undefined;
  for (const prefix of prefixes) {
    if (contains(prefix, address) && (!best || prefixBits(prefix) > prefixBits(best))) best = prefix;
  }
  return best;
}
