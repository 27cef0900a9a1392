// SPDX-License-Identifier: Apache-2.0
import type { Endpoint as EndpointValue } from "#datapath/layouts/endpoint.ts";
import { EndpointFlag, EndpointId } from "#datapath/layouts/enums.ts";
import { endpointEntries } from "#endpoints/entries.ts";
import { hostEndpointOf, hostValue } from "#endpoints/host.ts";
import { BlockIdentities } from "#identities/blocks.ts";
import { CidrIdentities } from "#identities/cidr.ts";
import type { IpcacheEntry } from "#identities/identity.ts";
import { bestClaim } from "#identities/ipcache.ts";
import { NodeIdentities } from "#identities/nodes.ts";
import { securityLabels } from "#identities/security-labels.ts";
import { blockTable, identityTable, ipcacheClaimTable } from "#identities/table.ts";
import type { KubeObject } from "#k8s/resource.ts";
import { referencedIn } from "#kit/policy-story.ts";
import { auditAnnotation, isSwitchedOn } from "#model/annotations.ts";
import {
  type Address,
  contains,
  family,
  hostPrefix,
  type Prefix,
  parseAddress,
  parsePrefix,
} from "#model/ip.ts";
import { type Labels, labelText } from "#model/labels.ts";
import { apiServersOf, desired, identifyNodes } from "#nodes/controller.ts";
import type { Node } from "#nodes/node.ts";
import { PolicyEngine } from "#policy/engine.ts";
import { compileRow, languageOf } from "#policy/languages.ts";
import { type NeverLockOut, neverLockOutRules } from "#policy/never-lock-out.ts";
import { nodeLabelKeys } from "#policy/node-labels.ts";
import { policyKey } from "#policy/policy-key.ts";
import { plainRules } from "#policy/references.ts";
import type { NamedPort, PolicyEntry, ResolvedPolicy, Rule } from "#policy/rule.ts";
import type { EndpointPolicyRow, PolicyRow } from "#policy/table.ts";
import { verdict } from "#policy/verdict.ts";
import { Database } from "#store/table.ts";
import { type Cluster, type Manifest, namespaceLabels, type Pod, settingsOf } from "./oracle/cluster.ts";
import type { Attempt } from "./oracle/side.ts";

/** What the product makes of a cluster and policies on the first node: rules, identities, and the content of its maps. */
export interface Compiled {
  readonly refused: readonly string[];
  /** The node's pods. */
  readonly endpoints: readonly CompiledEndpoint[];
  /** The node itself. */
  readonly host: CompiledEndpoint;
  readonly policies: readonly ResolvedPolicy[];
  readonly ipcache: ReadonlyMap<Prefix, number>;
  readonly blocks: ReadonlyMap<Prefix, number>;
  /** Names of the policy objects a rule's number stands for. */
  origins(rule: number): string[];
}

export interface CompiledEndpoint {
  readonly addresses: readonly Address[];
  /** Its row in the kernel. */
  readonly value: EndpointValue;
}

/** What `verdict.ts` says of one end's entries. */
export interface Said {
  readonly verdict: string;
  readonly explicit: boolean;
  readonly entry: PolicyEntry | undefined;
}

const protocols = { TCP: 6, UDP: 17, SCTP: 132 } as const;

/**
 * @param by `once`: everything is there before the first round; `steps`: one thing after the other, some of it taken away and put back, with a
 * round after each. What comes out must say the same.
 */
export function compile(
  cluster: Cluster,
  manifests: readonly Manifest[],
  by: "once" | "steps" = "once",
): Compiled {
  const referenced = {
    ...referencedIn(cluster.referred as unknown as KubeObject[]),
    nodes: () => nodesOf(cluster),
    pods: () => cluster.pods.map((pod) => ({ addresses: pod.addresses, namedPorts: portsOf(pod) })),
  };
  const rows = manifests
    .map(rowOf)
    .map((row) => ({ ...row, rules: plainRules(row.rules, referenced).rules }));
  const node = new NodeState(cluster);
  if (by === "once") node.feed(rows);
  else node.feedBySteps(rows);
  return {
    refused: rows.flatMap(({ refused }) => (refused ? [refused.message] : [])),
    endpoints: node.endpoints(),
    host: node.host(),
    policies: [...node.policies.values()],
    ipcache: node.ipcache(),
    blocks: new Map([...node.blocks.all()].map(({ prefix, identity }) => [prefix, identity])),
    origins: (rule) => [...new Set((node.engine.ruleIds.origins(rule) ?? []).map(policyKey))],
  };
}

function nodesOf({ nodes }: Cluster): Node[] {
  return nodes.map(({ name, addresses, labels }, index) => ({
    name,
    self: index === 0,
    addresses: addresses.map(parseAddress),
    podCidrs: [],
    labels: new Map(Object.entries(labels).map(([key, value]) => [`k8s:${key}`, value])),
  }));
}

function rowOf(manifest: Manifest): PolicyRow {
  const language = languageOf(manifest);
  if (!language) throw new Error(`${manifest.kind} of ${manifest.apiVersion} is no policy`);
  return compileRow(language, manifest as object);
}

function lockOutRules(cluster: Cluster): Rule[] {
  const { apiServerPorts, apiServerAddress, ports, cidrs } = settingsOf(cluster).neverLockOut;
  const settings: NeverLockOut = { apiServerPorts, ports, cidrs: cidrs.map(parsePrefix) };
  if (apiServerAddress === undefined) return neverLockOutRules(settings);
  return neverLockOutRules({ ...settings, apiServerAddress: parseAddress(apiServerAddress) });
}

/** The agent's tables and engine, and what the engine said in all rounds. */
class NodeState {
  readonly db = new Database();
  readonly identities = identityTable(this.db);
  readonly claims = ipcacheClaimTable(this.db);
  readonly blocks = blockTable(this.db);
  readonly engine: PolicyEngine;
  readonly policies = new Map<number, ResolvedPolicy>();
  readonly #rows = new Map<number, EndpointPolicyRow>();
  readonly #cidrs = new CidrIdentities({ ...this, dualStack: true });
  readonly #blockIds = new BlockIdentities(this);
  readonly #nodeIds = new NodeIdentities(this);
  readonly #cluster: Cluster;
  readonly #pods: readonly (Pod & { readonly identity: number; readonly sourced: Labels })[];
  #known = new Set<number>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.engine = new PolicyEngine(settingsOf(cluster).enforcement, lockOutRules(cluster));
    this.#pods = this.#identify(cluster);
  }

  /** In the agent's order: policies, the prefixes they need, identities, pods, endpoints. */
  feed(rows: readonly PolicyRow[]): void {
    for (const row of rows) this.engine.setPolicy(policyKey(row), row.rules);
    this.#identifyFor(rows);
    for (const pod of this.#pods) this.#setPod(pod);
    for (const index of this.#local().keys()) this.#setEndpoint(index);
    this.#setHost();
    this.#round();
  }

  feedBySteps(rows: readonly PolicyRow[]): void {
    const { engine } = this;
    const [first] = rows;
    const [pod] = this.#pods;
    const put = (some: readonly PolicyRow[], row: PolicyRow, rules: PolicyRow["rules"]) => {
      engine.setPolicy(policyKey(row), rules);
      this.#identifyFor(some);
    };
    const steps = [
      () => this.#identifyFor([]),
      () => this.#setHost(),
      ...[...this.#local().keys()].map((index) => () => this.#setEndpoint(index)),
      ...this.#pods.map((one) => () => this.#setPod(one)),
      ...rows.map((row, index) => () => put(rows.slice(0, index + 1), row, row.rules)),
      () => first && put(rows.slice(1), first, []),
      () => pod && engine.setPod(`${pod.namespace}/${pod.name}`, undefined),
      () => first && put(rows, first, first.rules),
      () => pod && engine.removeIdentity(pod.identity),
      () => engine.removeEndpoint(1),
      () => pod && engine.setIdentity(this.identities.get(String(pod.identity))!),
      () => pod && this.#setPod(pod),
      () => this.#setEndpoint(0),
    ];
    for (const step of steps) {
      step();
      this.#round();
    }
  }

  #round(): void {
    const { policies, gonePolicies, endpoints } = this.engine.flush();
    for (const policy of policies) this.policies.set(policy.id, policy);
    for (const id of gonePolicies) this.policies.delete(id);
    for (const row of endpoints) this.#rows.set(row.endpointId, row);
  }

  /** Identities of the prefixes and nodes that the rules speak of, and the engine told of all that changed. */
  #identifyFor(rows: readonly PolicyRow[]): void {
    const { engine, identities } = this;
    const required = engine.requiredPrefixes();
    this.#cidrs.require(required.cidrs);
    this.#blockIds.require(required.blocks);
    this.#claim(this.#cluster, this.#cidrs, nodeLabelKeys(rows.flatMap(({ rules }) => rules)));
    const now = new Set([...identities.all()].map(({ id }) => id));
    for (const id of this.#known) if (!now.has(id)) engine.removeIdentity(id);
    for (const row of identities.all()) engine.setIdentity(row);
    this.#known = now;
  }

  #setPod(pod: Pod & { readonly identity: number }): void {
    this.engine.setPod(`${pod.namespace}/${pod.name}`, { identity: pod.identity, ports: portsOf(pod) });
  }

  #setEndpoint(index: number): void {
    const pod = this.#local()[index]!;
    this.engine.setEndpoint({ id: index + 1, labels: pod.sourced, namedPorts: portsOf(pod) });
  }

  #setHost(): void {
    this.engine.setEndpoint(hostEndpointOf(nodesOf(this.#cluster)[0]!));
  }

  #local() {
    return this.#pods.filter(({ node }) => node === this.#cluster.nodes[0]!.name);
  }

  #identify(cluster: Cluster) {
    const ids = new Map<string, number>();
    return cluster.pods.map((pod) => {
      const { namespace, labels, serviceAccount } = pod;
      const facts = { namespace, labels, serviceAccount, cluster: "default" };
      const sourced = securityLabels({ ...facts, namespaceLabels: namespaceLabels(cluster, namespace) });
      const text = labelText(sourced);
      const identity = ids.get(text) ?? 256 + ids.size;
      ids.set(text, identity);
      this.db.write((tx) => tx.put(this.identities, { id: identity, labels: sourced }));
      return { ...pod, identity, sourced };
    });
  }

  #claim(cluster: Cluster, cidrs: CidrIdentities, keys: ReadonlySet<string>): void {
    const nodes = nodesOf(cluster);
    const apiServers = cluster.apiServers.map((address) => ({ address: parseAddress(address) }));
    const ofNodes = this.#nodeIds;
    const identityOf = identifyNodes(nodes, apiServersOf(nodes, apiServers), {
      keys,
      identities: {
        assign: (others, named) => ofNodes.assign(others, named),
        setHost: (self, named) => ofNodes.setHost(self, named),
        setApiServers: (prefixes) => cidrs.setApiServers(prefixes),
      },
    });
    const { claims } = desired(nodes, identityOf, { routing: "native", families: [4, 6] });
    const ofPods = this.#pods.flatMap(({ addresses, identity }) =>
      addresses.map((address) => ({
        prefix: hostPrefix(parseAddress(address)),
        identity,
        source: "endpoint",
      })),
    );
    this.db.write((tx) => {
      for (const claim of [...claims, ...ofPods]) tx.put(this.claims, claim);
    });
  }

  ipcache(): Map<Prefix, number> {
    const byPrefix = Map.groupBy(this.claims.all() as Iterable<IpcacheEntry>, ({ prefix }) => prefix);
    return new Map([...byPrefix].map(([prefix, claims]) => [prefix, bestClaim(claims)!.identity]));
  }

  endpoints(): CompiledEndpoint[] {
    const { audit } = settingsOf(this.#cluster);
    return this.#local().map(({ identity, addresses, annotations, namespace, name, sourced }, index) => {
      const id = index + 1;
      const [v4, v6] = addresses.map(parseAddress);
      const { revision: policyRevision, audits = false, ...policy } = this.#rows.get(id)!;
      const endpoint = {
        ...unplugged,
        id,
        identity,
        namespace,
        pod: name,
        labels: sourced,
        v4: v4!,
        v6: v6!,
      };
      const modes = { audit: audit || isSwitchedOn(annotations, auditAnnotation), audits, anySource: false };
      return endpointEntries({ endpoint, ...policy, policyRevision, ...modes });
    });
  }

  host(): CompiledEndpoint {
    const addresses = this.#cluster.nodes[0]!.addresses.map(parseAddress);
    const row = this.#rows.get(EndpointId.hostEndpoint)!;
    return { addresses, value: hostValue(row, settingsOf(this.#cluster).audit) };
  }
}

/** An endpoint's devices, which no verdict asks for. */
const unplugged = {
  podUid: "",
  containerId: "",
  ifname: "eth0",
  netns: "",
  hostIfname: "",
  hostIfindex: 1,
  mac: "02:00:00:00:01:01",
  hostMac: "02:00:00:00:02:01",
  namedPorts: [],
} as const;

function portsOf({ ports }: Pod): NamedPort[] {
  return ports.map(({ name, port, protocol }) => ({ name, port, proto: protocols[protocol] }));
}

/** Asks the entries of both ends, as far as they are pods of the node or the node itself. */
export function ask(compiled: Compiled, attempt: Attempt): { egress?: Said; ingress?: Said } {
  const from = parseAddress(attempt.from);
  const to = parseAddress(attempt.to);
  const { endpoints, host } = compiled;
  const at = (address: Address) => [...endpoints, host].find(({ addresses }) => addresses.includes(address));
  const [sender, receiver] = [at(from), at(to)];
  const toOwnPod = sender === host && receiver !== undefined;
  return {
    ...(sender &&
      !toOwnPod && { egress: askEnd(compiled, sender, { direction: "egress", peer: to, attempt }) }),
    ...(receiver && { ingress: askEnd(compiled, receiver, { direction: "ingress", peer: from, attempt }) }),
  };
}

function askEnd(
  compiled: Compiled,
  { value: { policyId, flags } }: CompiledEndpoint,
  { direction, peer, attempt }: { direction: "ingress" | "egress"; peer: Address; attempt: Attempt },
): Said {
  const policy = compiled.policies.find(({ id }) => id === policyId);
  if (!policy) return { verdict: "allow", explicit: false, entry: undefined };
  const block = longest(compiled.blocks, peer);
  const identity = longest(compiled.ipcache, peer) ?? (family(peer) === 4 ? 9 : 10);
  const proto = protocolNumber(attempt);
  const question = { direction, identity, proto, port: attempt.port, ...(block && { block }) };
  const { verdict: said, explicit, entry } = verdict(policy, question);
  const isTold = said === "deny" && (flags & EndpointFlag.audit) !== 0;
  return { verdict: isTold ? "audit" : said, explicit, entry };
}

export function protocolNumber({ protocol, to }: Attempt): number {
  if (protocol !== "ICMP") return protocols[protocol];
  return family(parseAddress(to)) === 4 ? 1 : 58;
}

function longest(prefixes: ReadonlyMap<Prefix, number>, address: Address): number | undefined {
  let best: { readonly bits: number; readonly id: number } | undefined;
  for (const [prefix, id] of prefixes) {
    const bits = Number(prefix.slice(prefix.indexOf("/") + 1));
    if (contains(prefix, hostPrefix(address)) && (!best || bits > best.bits)) best = { bits, id };
  }
  return best?.id;
}
