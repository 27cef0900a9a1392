// SPDX-License-Identifier: Apache-2.0
import { localIdentity } from "#identities/allocate.ts";
import { blockLabels } from "#identities/blocks.ts";
import { cidrLabels } from "#identities/cidr.ts";
import { hash32 } from "#lib/hash.ts";
import { blockIdentityScope, clusterIdentityRange, reservedNames } from "#model/identity.ts";
import type { Address, Prefix } from "#model/ip.ts";
import { type Labels, labelText } from "#model/labels.ts";
import { PolicyEngine } from "../engine.ts";
import type { Enforcement } from "../resolve.ts";
import type { ResolvedPolicy, Rule, RuleOrigin } from "../rule.ts";
import type { OfflineCluster, OfflineNode } from "./cluster.ts";
import { namedPorts, type OfflinePod } from "./pods.ts";

/** What the nodes of a cluster would know, all in one place. */
export interface Known {
  readonly cluster: OfflineCluster;
  /** Of all policies in force. */
  readonly rules: readonly Rule[];
  readonly labels: ReadonlyMap<number, Labels>;
  readonly podIdentity: ReadonlyMap<OfflinePod, number>;
  readonly nodeIdentity: ReadonlyMap<OfflineNode, number>;
  readonly cidrs: ReadonlyMap<Prefix, number>;
  readonly blocks: ReadonlyMap<Prefix, number>;
  readonly apiServers: ReadonlySet<Address>;
  readonly policies: readonly ResolvedPolicy[];
  /** Pods that no policy selects are not in it. */
  readonly policyOf: ReadonlyMap<OfflinePod, ResolvedPolicy>;
  origins(rule: number): readonly RuleOrigin[];
}

/** Scope of the identities that stand for nodes. */
const nodeIdentityScope = 0x02_00_00_00;

/** Feeds the policy engine with a cluster. */
export function resolveCluster(cluster: OfflineCluster, enforcement: Enforcement): Known {
  const engine = new PolicyEngine(enforcement);
  const labels = new Map<number, Labels>();
  const add = (id: number, own: Labels) => {
    labels.set(id, own);
    engine.setIdentity({ id, labels: own });
    return id;
  };
  for (const [id, name] of reservedNames) if (id !== 0) add(id, new Map([[`reserved:${name}`, ""]]));
  const taken = (id: number) => labels.has(id);
  const podIdentity = identities(cluster, add, taken);
  const nodeIdentity = new Map(
    cluster.nodes.map((node) => [
      node,
      add(localIdentity(`node ${node.name}`, taken, nodeIdentityScope), nodeLabels(node)),
    ]),
  );
  for (const { key, row } of cluster.policies) engine.setPolicy(key, row.rules);
  const required = engine.requiredPrefixes();
  const cidrs = new Map<Prefix, number>();
  for (const prefix of required.cidrs)
    cidrs.set(prefix, add(localIdentity(prefix, taken), cidrLabels(prefix, required.cidrs, true)));
  const blocks = new Map<Prefix, number>();
  for (const prefix of required.blocks)
    blocks.set(
      prefix,
      add(localIdentity(prefix, taken, blockIdentityScope), blockLabels(prefix, required.blocks)),
    );
  for (const [pod, identity] of podIdentity) {
    engine.setPod(`${pod.namespace}/${pod.name}`, { identity, ports: namedPorts(pod) });
  }
  const { policies, policyOf } = endpoints(engine, [...podIdentity.keys()]);
  return {
    cluster,
    rules: cluster.policies.flatMap(({ row }) => row.rules),
    labels,
    podIdentity,
    nodeIdentity,
    cidrs,
    blocks,
    apiServers: apiServers(cluster),
    policies,
    policyOf,
    origins: (rule) => engine.ruleIds.origins(rule) ?? [],
  };
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

function nodeLabels({ labels }: OfflineNode): Labels {
  const own = Object.entries(labels).map(([key, value]) => [`k8s:${key}`, value] as const);
  return new Map([["reserved:remote-node", ""], ...own]);
}

function endpoints(engine: PolicyEngine, pods: readonly OfflinePod[]) {
  for (const [index, pod] of pods.entries())
    engine.setEndpoint({ id: index + 1, labels: pod.labels, namedPorts: namedPorts(pod) });
  const changes = engine.flush();
  const byId = new Map(changes.policies.map((policy) => [policy.id, policy]));
  const policyOf = new Map<OfflinePod, ResolvedPolicy>();
  for (const { endpointId, policyId } of changes.endpoints) {
    const policy = byId.get(policyId);
    if (policy) policyOf.set(pods[endpointId - 1]!, policy);
  }
  return { policies: changes.policies, policyOf };
}

function apiServers({ services }: OfflineCluster): Set<Address> {
  const api = services.find(({ namespace, name }) => namespace === "default" && name === "kubernetes");
  const backends = (api?.ports ?? []).flatMap((port) => port.backends);
  return new Set(backends.flatMap(({ address }) => (address === undefined ? [] : [address])));
}
