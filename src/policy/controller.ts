// SPDX-License-Identifier: Apache-2.0
import type { Identity } from "#identities/identity.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { ReservedIdentity } from "#model/identity.ts";
import type { Family } from "#model/ip.ts";
import { startController } from "#store/controller.ts";
import type { Changes, Database, Table, Transaction, WritableTable } from "#store/table.ts";
import type { PolicyCost } from "./costs.ts";
import { type EngineChanges, PolicyEngine } from "./engine.ts";
import type { PolicyLimits, Refusal } from "./limits.ts";
import { seenFrom } from "./peer.ts";
import type { RequiredPrefixes } from "./required-prefixes.ts";
import type { Enforcement } from "./resolve.ts";
import type { ResolvedPolicy, Rule } from "./rule.ts";
import type { EndpointPolicyRow, PolicyEndpoint, PolicyPeerPod, PolicyRow, PolicyRuleRow } from "./table.ts";

export interface PolicyControllerDeps {
  readonly db: Database;
  readonly policies: Table<PolicyRow>;
  /** This node's. */
  readonly endpoints: Table<PolicyEndpoint>;
  /** The node itself, where policies may select it. */
  readonly hosts: Table<PolicyEndpoint>;
  readonly neverLockOut?: readonly Rule[];
  readonly identities: Table<Identity>;
  /** The cluster's pods, for named ports in egress rules; key: any. */
  readonly pods: Table<PolicyPeerPod>;
  /** Written. */
  readonly policyMaps: WritableTable<ResolvedPolicy>;
  readonly endpointPolicies: WritableTable<EndpointPolicyRow>;
  readonly policyRules: WritableTable<PolicyRuleRow>;
  /** Policies there is no room for. */
  readonly refusals?: WritableTable<Refusal>;
  /** What policies cost in map entries. */
  readonly costs?: WritableTable<PolicyCost>;
  /** What there is room for; absent: for everything. */
  readonly limits?: PolicyLimits;
  /**
   * Told, before the rules are resolved, which prefixes need identities of their own: all of them each time they change. What it
   * writes into `identities` is part of the same round.
   */
  requirePrefixes(prefixes: RequiredPrefixes): void;
  /** Told when what follows from all that is known is in the tables it writes. */
  resolved?(): void;
  readonly enforcement: Enforcement;
  /** The cluster's only address family: its world is that family's, and no CIDR of the other one means it. */
  readonly onlyFamily?: Family;
  /** This cluster's name. */
  readonly clusterName?: string;
  readonly health: Health;
  readonly log: Logger;
}

/** Policies × endpoints × identities → what each policy map holds and which one each endpoint has. */
export function startPolicyController(deps: PolicyControllerDeps, signal: AbortSignal): AsyncDisposable {
  const { db, policies, endpoints, hosts, identities, pods, health, log } = deps;
  const engine = new PolicyEngine(deps.enforcement, deps.neverLockOut, deps.limits);
  const outputs = [deps.policyMaps, deps.endpointPolicies, deps.policyRules].map((table) =>
    table.source("policy"),
  );
  return startController({
    name: "policy",
    inputs: { policies, endpoints, hosts, identities, pods },
    outputs,
    signal,
    health,
    log,
    run(changes) {
      for (const [key, change] of changes.policies)
        engine.setPolicy(key, change.kind === "put" ? change.row.rules : []);
      const required = engine.takeRequiredPrefixes();
      // What is written into the table now is no change the tracker has told yet.
      const fresh = required ? written(identities, () => deps.requirePrefixes(required)) : [];
      feed(engine, { ...changes, fresh }, deps);
      const result = engine.flush();
      db.write((tx) => store(tx, deps, { engine, changes: changes.endpoints, result }));
      // What was refused has its prefixes taken back.
      const back = engine.takeRequiredPrefixes();
      if (back) deps.requirePrefixes(back);
      deps.resolved?.();
      return `${policies.size} policies, ${deps.policyMaps.size} distinct, ${endpoints.size} endpoint(s)`;
    },
  });
}

/** Keys of the rows that a piece of work changes in a table. */
function written(table: Table<unknown>, work: () => void): Set<string> {
  const changed = new Set<string>();
  const stop = table.onCommit((keys) => {
    for (const key of keys) changed.add(key);
  });
  try {
    work();
  } finally {
    stop();
  }
  return changed;
}

function feed(
  engine: PolicyEngine,
  changes: {
    readonly endpoints: Changes<PolicyEndpoint>;
    readonly hosts: Changes<PolicyEndpoint>;
    readonly identities: Changes<Identity>;
    readonly pods: Changes<PolicyPeerPod>;
    /** Keys of identities that changed since. */
    readonly fresh: Iterable<string>;
  },
  {
    identities,
    onlyFamily,
    clusterName,
  }: Pick<PolicyControllerDeps, "identities" | "onlyFamily" | "clusterName">,
): void {
  for (const key of new Set([...changes.identities.keys(), ...changes.fresh])) {
    const now = identities.get(key);
    if (now) engine.setIdentity(withMesh(onlyFamily ? worldOf(now, onlyFamily) : now, clusterName));
    else engine.removeIdentity(Number(key));
  }
  for (const [key, { kind, row }] of changes.pods) {
    engine.setPod(key, kind === "put" ? { identity: row.identity, ports: row.namedPorts } : undefined);
  }
  for (const { kind, row } of [...changes.endpoints.values(), ...changes.hosts.values()]) {
    if (kind === "put") engine.setEndpoint(row);
    else engine.removeEndpoint(row.id);
  }
}

function withMesh(identity: Identity, cluster: string | undefined): Identity {
  const labels = cluster === undefined ? identity.labels : seenFrom(cluster, identity.labels);
  return labels === identity.labels ? identity : { ...identity, labels };
}

function worldOf(identity: Identity, only: Family): Identity {
  if (identity.id !== ReservedIdentity.world) return identity;
  return { ...identity, labels: new Map([...identity.labels, [`reserved:world-ipv${only}`, ""]]) };
}

interface Outcome {
  readonly engine: PolicyEngine;
  readonly changes: Changes<PolicyEndpoint>;
  readonly result: EngineChanges;
}

function storeRefusals(tx: Transaction, table: WritableTable<Refusal>, engine: PolicyEngine): void {
  const refusals = engine.refusals();
  const refused = new Set(refusals.map(({ policy }) => policy));
  for (const refusal of refusals) tx.put(table, refusal);
  for (const { policy } of table.all()) if (!refused.has(policy)) tx.delete(table, policy);
}

function storeCosts(tx: Transaction, table: WritableTable<PolicyCost>, costs: readonly PolicyCost[]): void {
  for (const cost of costs) {
    if (cost.entries > 0) tx.put(table, cost);
    else tx.delete(table, cost.policy);
  }
}

function store(tx: Transaction, deps: PolicyControllerDeps, { engine, changes, result }: Outcome): void {
  for (const policy of result.policies) tx.put(deps.policyMaps, policy);
  for (const id of result.ruleIds) {
    const origins = engine.ruleIds.origins(id);
    if (origins) tx.put(deps.policyRules, { id, origins });
    else tx.delete(deps.policyRules, String(id));
  }
  if (deps.refusals) storeRefusals(tx, deps.refusals, engine);
  if (deps.costs) storeCosts(tx, deps.costs, result.costs);
  for (const id of result.gonePolicies) tx.delete(deps.policyMaps, String(id));
  for (const row of result.endpoints) tx.put(deps.endpointPolicies, row);
  for (const [key, { kind }] of changes) if (kind === "delete") tx.delete(deps.endpointPolicies, key);
}
