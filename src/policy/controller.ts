// SPDX-License-Identifier: Apache-2.0
import type { Identity } from "#identities/identity.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { isLocalIdentity, ReservedIdentity } from "#model/identity.ts";
import type { Family } from "#model/ip.ts";
import { startController } from "#store/controller.ts";
import type { Changes, Database, Table, Transaction, WritableTable } from "#store/table.ts";
import { type EngineChanges, PolicyEngine, type RequiredPrefixes } from "./engine.ts";
import type { Enforcement } from "./resolve.ts";
import type { ResolvedPolicy } from "./rule.ts";
import type { EndpointPolicyRow, PolicyEndpoint, PolicyPeerPod, PolicyRow, PolicyRuleRow } from "./table.ts";

export interface PolicyControllerDeps {
  readonly db: Database;
  readonly policies: Table<PolicyRow>;
  /** This node's. */
  readonly endpoints: Table<PolicyEndpoint>;
  readonly identities: Table<Identity>;
  /** The cluster's pods, for named ports in egress rules; key: any. */
  readonly pods: Table<PolicyPeerPod>;
  /** Written. */
  readonly policyMaps: WritableTable<ResolvedPolicy>;
  readonly endpointPolicies: WritableTable<EndpointPolicyRow>;
  readonly policyRules: WritableTable<PolicyRuleRow>;
  /**
   * Told, before the rules are resolved, which prefixes need identities of their own: all of them each time they change. What it
   * writes into `identities` is part of the same round.
   */
  requirePrefixes(prefixes: RequiredPrefixes): void;
  readonly enforcement: Enforcement;
  /** The cluster's only address family: its world is that family's, and no CIDR of the other one means it. */
  readonly onlyFamily?: Family;
  readonly health: Health;
  readonly log: Logger;
}

/** Policies × endpoints × identities → what each policy map holds and which one each endpoint has. */
export function startPolicyController(deps: PolicyControllerDeps, signal: AbortSignal): AsyncDisposable {
  const { db, policies, endpoints, identities, pods, health, log } = deps;
  const engine = new PolicyEngine(deps.enforcement);
  const outputs = [deps.policyMaps, deps.endpointPolicies, deps.policyRules].map((table) =>
    table.source("policy"),
  );
  let prefixes = "";
  return startController({
    name: "policy",
    inputs: { policies, endpoints, identities, pods },
    outputs,
    signal,
    health,
    log,
    run(changes) {
      for (const [key, change] of changes.policies)
        engine.setPolicy(key, change.kind === "put" ? change.row.rules : []);
      if (changes.policies.size > 0) {
        const required = engine.requiredPrefixes();
        const text = `${[...required.cidrs].join()} ${[...required.blocks].join()}`;
        if (text !== prefixes) deps.requirePrefixes(required);
        if (text !== prefixes)
          for (const row of identities.all()) if (isLocalIdentity(row.id)) engine.setIdentity(row);
        prefixes = text;
      }
      feed(engine, changes, deps);
      const result = engine.flush();
      db.write((tx) => store(tx, deps, { engine, changes: changes.endpoints, result }));
      return `${policies.size} policies, ${deps.policyMaps.size} distinct, ${endpoints.size} endpoint(s)`;
    },
  });
}

function feed(
  engine: PolicyEngine,
  changes: {
    readonly endpoints: Changes<PolicyEndpoint>;
    readonly identities: Changes<Identity>;
    readonly pods: Changes<PolicyPeerPod>;
  },
  { identities, onlyFamily }: Pick<PolicyControllerDeps, "identities" | "onlyFamily">,
): void {
  for (const [key, { row }] of changes.identities) {
    // The table may be ahead of the change: identities of CIDRs were made in this very round.
    const now = identities.get(key);
    if (now) engine.setIdentity(onlyFamily ? worldOf(now, onlyFamily) : now);
    else engine.removeIdentity(row.id);
  }
  for (const [key, { kind, row }] of changes.pods) {
    engine.setPod(key, kind === "put" ? { identity: row.identity, ports: row.namedPorts } : undefined);
  }
  for (const { kind, row } of changes.endpoints.values()) {
    if (kind === "put") engine.setEndpoint(row);
    else engine.removeEndpoint(row.id);
  }
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

function store(tx: Transaction, deps: PolicyControllerDeps, { engine, changes, result }: Outcome): void {
  const rules = new Set<number>();
  for (const policy of result.policies) {
    for (const { rule } of policy.entries) rules.add(rule);
    tx.put(deps.policyMaps, policy);
  }
  for (const id of rules) {
    const origins = engine.ruleIds.origins(id);
    if (origins) tx.put(deps.policyRules, { id, origins });
  }
  for (const id of result.gonePolicies) tx.delete(deps.policyMaps, String(id));
  for (const row of result.endpoints) tx.put(deps.endpointPolicies, row);
  for (const [key, { kind }] of changes) if (kind === "delete") tx.delete(deps.endpointPolicies, key);
  for (const { id } of deps.policyRules.all())
    if (!engine.ruleIds.origins(id)) tx.delete(deps.policyRules, String(id));
}
