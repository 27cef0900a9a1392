// SPDX-License-Identifier: Apache-2.0
import { localIdentity } from "#identities/allocate.ts";
import { blockLabels } from "#identities/blocks.ts";
import { cidrLabels } from "#identities/cidr.ts";
import { hash32 } from "#lib/hash.ts";
import {
  blockIdentityScope,
  clusterIdentityRange,
  ReservedIdentity,
  reservedNames,
} from "#model/identity.ts";
import { type Address, hostPrefix, type Prefix } from "#model/ip.ts";
import { type Labels, labelText } from "#model/labels.ts";
import { PolicyEngine } from "../engine.ts";
import { neverLockOutRules } from "../never-lock-out.ts";
import { nodeLabelKeys } from "../node-labels.ts";
import type { ResolvedPolicy, Rule, RuleOrigin } from "../rule.ts";
import type { OfflineCluster } from "./cluster.ts";
import { hostLabels, identifyNodes, type NodeIdentities, type OfflineNode } from "./nodes.ts";
import { namedPorts, type OfflinePod } from "./pods.ts";

/** What the nodes of a cluster would know, all in one place. */
export interface Known {
  readonly cluster: OfflineCluster;
  /** Of all policies in force. */
  readonly rules: readonly Rule[];
  readonly labels: ReadonlyMap<number, Labels>;
  readonly podIdentity: ReadonlyMap<OfflinePod, number>;
  readonly nodeIdentity: NodeIdentities;
  readonly cidrs: ReadonlyMap<Prefix, number>;
  readonly blocks: ReadonlyMap<Prefix, number>;
  readonly policies: readonly ResolvedPolicy[];
  /** Whom no policy selects is not in it. */
  readonly policyOf: ReadonlyMap<Subject, ResolvedPolicy>;
  origins(rule: number): readonly RuleOrigin[];
}

/** Whom policies select: pods, and nodes where the host firewall is on. */
export type Subject = OfflinePod | OfflineNode;

export function isPod(subject: Subject): subject is OfflinePod {
  return "workload" in subject;
}

/** Labels of somebody as an endpoint. */
export function subjectLabels(subject: Subject): Labels {
  return isPod(subject) ? subject.labels : hostLabels(subject);
}

/** Feeds the policy engine with a cluster. */
export function resolveCluster(cluster: OfflineCluster): Known {
  const { enforcement, hostFirewall } = cluster.settings;
  const engine = new PolicyEngine(enforcement, hostFirewall ? neverLockOutRules(hostFirewall) : []);
  const labels = new Map<number, Labels>();
  const add = (id: number, own: Labels) => {
    labels.set(id, own);
    engine.setIdentity({ id, labels: own });
    return id;
  };
  for (const [id, name] of reservedNames) if (id !== 0) add(id, reservedLabels(id, name));
  const taken = (id: number) => labels.has(id);
  const podIdentity = identities(cluster, add, taken);
  const apiServers = apiServersOf(cluster);
  const rules = cluster.policies.flatMap(({ row }) => row.rules);
  const keys = nodeLabelKeys(rules);
  const nodeIdentity = identifyNodes(cluster.nodes, { keys, apiServers, add, taken });
  for (const { key, row } of cluster.policies) engine.setPolicy(key, row.rules);
  const required = engine.requiredPrefixes();
  const cidrs = identifyCidrs(cluster, { required: required.cidrs, apiServers, add, taken });
  const blocks = new Map<Prefix, number>();
  for (const prefix of required.blocks)
    blocks.set(
      prefix,
      add(localIdentity(prefix, taken, blockIdentityScope), blockLabels(prefix, required.blocks)),
    );
  for (const [pod, identity] of podIdentity) {
    engine.setPod(`${pod.namespace}/${pod.name}`, { identity, ports: namedPorts(pod) });
  }
  const { policies, policyOf } = endpoints(engine, cluster, [...podIdentity.keys()]);
  return {
    cluster,
    rules,
    labels,
    podIdentity,
    nodeIdentity,
    cidrs,
    blocks,
    policies,
    policyOf,
    origins: (rule) => engine.ruleIds.origins(rule) ?? [],
  };
}

/** An API server that is known by the reserved identity is a node. */
function reservedLabels(id: number, name: string): Labels {
  const more = id === ReservedIdentity.kubeApiserver ? [["reserved:remote-node", ""] as const] : [];
  return new Map([[`reserved:${name}`, ""], ...more]);
}

/** Pods with the same labels have the same one; numbers as the operator would give them, or as the cluster has them. */
function identities(
  { pods, identities: given }: OfflineCluster,
  add: (id: number, labels: Labels) => number,
  taken: (id: number) => boolean,
): Map<OfflinePod, number> {
  const { first, last } = clusterIdentityRange;
  const byText = new Map<string, number>();
  const out = new Map<OfflinePod, number>();
  for (const pod of pods) {
    if (pod.hostNetwork) continue;
    const text = labelText(pod.labels);
    let id = byText.get(text) ?? given.get(text);
    if (id === undefined) {
      id = first + (hash32(text) % (last - first + 1));
      while (taken(id)) id = id === last ? first : id + 1;
    }
    if (!byText.has(text)) add(id, pod.labels);
    byText.set(text, id);
    out.set(pod, id);
  }
  return out;
}

interface CidrContext {
  readonly required: ReadonlySet<Prefix>;
  readonly apiServers: ReadonlySet<Address>;
  add(id: number, labels: Labels): number;
  taken(id: number): boolean;
}

/** Of what policies name, and of API servers that are no nodes: parts of the world that have the label beside. */
function identifyCidrs(
  { nodes }: OfflineCluster,
  { required, apiServers, add, taken }: CidrContext,
): Map<Prefix, number> {
  const known = new Set(nodes.flatMap(({ addresses }) => addresses));
  const outside = new Set([...apiServers].filter((address) => !known.has(address)).map(hostPrefix));
  const cidrs = new Map<Prefix, number>();
  for (const prefix of new Set([...required, ...outside])) {
    const labels = cidrLabels(prefix, required, true);
    const own = outside.has(prefix) ? new Map([...labels, ["reserved:kube-apiserver", ""]]) : labels;
    cidrs.set(prefix, add(localIdentity(prefix, taken), own));
  }
  return cidrs;
}

function endpoints(
  engine: PolicyEngine,
  { nodes, settings }: OfflineCluster,
  pods: readonly OfflinePod[],
): Pick<Known, "policies" | "policyOf"> {
  const subjects: Subject[] = [...pods, ...(settings.hostFirewall ? nodes : [])];
  for (const [index, subject] of subjects.entries()) {
    const ports = isPod(subject) ? namedPorts(subject) : [];
    engine.setEndpoint({ id: index + 1, labels: subjectLabels(subject), namedPorts: ports });
  }
  const changes = engine.flush();
  const byId = new Map(changes.policies.map((policy) => [policy.id, policy]));
  const policyOf = new Map<Subject, ResolvedPolicy>();
  for (const { endpointId, policyId } of changes.endpoints) {
    const policy = byId.get(policyId);
    if (policy) policyOf.set(subjects[endpointId - 1]!, policy);
  }
  return { policies: changes.policies, policyOf };
}

function apiServersOf({ services }: OfflineCluster): Set<Address> {
  const api = services.find(({ namespace, name }) => namespace === "default" && name === "kubernetes");
  const backends = (api?.ports ?? []).flatMap((port) => port.backends);
  return new Set(backends.flatMap(({ address }) => (address === undefined ? [] : [address])));
}
