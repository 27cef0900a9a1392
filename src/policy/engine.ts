// SPDX-License-Identifier: Apache-2.0
import type { Identity } from "#identities/identity.ts";
import { WeftError } from "#lib/errors.ts";
import type { PolicyCost } from "./costs.ts";
import { DistinctPolicies, type DistinctPolicy } from "./distinct.ts";
import {
  costliest,
  type PolicyLimits,
  type Refusal,
  tooManyEntries,
  tooManyPrefixes,
  unlimited,
} from "./limits.ts";
import type { PortsOfPod } from "./pod-ports.ts";
import { PrefixCounts, type RequiredPrefixes } from "./required-prefixes.ts";
import type { Enforcement } from "./resolve.ts";
import { Resolving } from "./resolving.ts";
import type { ResolvedPolicy, Rule } from "./rule.ts";
import type { RuleIds } from "./rule-ids.ts";
import { type Part, Selection } from "./selection.ts";
import { hostLabel } from "./selector.ts";
import type { EndpointPolicyRow, PolicyEndpoint } from "./table.ts";

/** What one `flush` changed. */
export interface EngineChanges {
  readonly policies: readonly ResolvedPolicy[];
  readonly gonePolicies: readonly number[];
  readonly endpoints: readonly EndpointPolicyRow[];
  /** Numbers of rules that are new, or forgotten: `ruleIds` knows which. */
  readonly ruleIds: readonly number[];
  /** What policies cost by now; no entries: nothing any more. */
  readonly costs: readonly PolicyCost[];
}

/**
 * Policies, endpoints and identities in; resolved policies out. Each setter marks what its change touches, `flush` resolves just that:
 * of a policy whose rules are the same only what it says of the identities that changed. Pure: no tables, no clock.
 */
export class PolicyEngine {
  readonly #enforcement: Enforcement;
  readonly #resolving: Resolving;
  readonly #selection = new Selection();
  readonly #distinct = new DistinctPolicies();
  readonly #prefixes = new PrefixCounts();
  readonly #endpoints = new Map<string, PolicyEndpoint>();
  readonly #dirtyEndpoints = new Set<string>();
  readonly #dirtyParts = new Set<string>();
  readonly #limits: PolicyLimits;
  /** Rules in force. */
  readonly #rules = new Map<string, readonly Rule[]>();
  /** Those of this flush, with the rules that were in force before. */
  readonly #changed = new Map<string, readonly Rule[]>();
  /** What there is no room for, with the rules it would have. */
  readonly #refused = new Map<string, { readonly rules: readonly Rule[]; readonly refusal: Refusal }>();

  /**
   * @param neverLockOut goes before all rules of policies about the node: see `never-lock-out.ts`
   * @param limits a policy that would need more is refused: what was in force of it before stays
   */
  constructor(
    enforcement: Enforcement,
    neverLockOut: readonly Rule[] = [],
    limits: PolicyLimits = unlimited,
  ) {
    this.#enforcement = enforcement;
    const rulesOf = (policy: DistinctPolicy) => this.#partsOf(policy).flatMap(({ rules }) => rules);
    this.#resolving = new Resolving({ enforcement, neverLockOut, rulesOf });
    this.#limits = limits;
    this.#prefixes.set("never-lock-out", neverLockOut);
  }

  /** What the numbers in entries stand for. */
  get ruleIds(): RuleIds {
    return this.#resolving.ruleIds;
  }

  /**
   * The same rules once more, as when only an object's status changed, are no work.
   * @param rules none: the policy is gone, or refused
   */
  setPolicy(key: string, rules: readonly Rule[]): void {
    if (!this.#refused.has(key) && sameRules(rules, this.#rules.get(key))) return;
    this.#refused.delete(key);
    const refusal = rules.length > 0 && tooManyPrefixes(this.#prefixes, [key, rules], this.#limits);
    if (refusal) {
      this.#refused.set(key, { rules, refusal });
      return;
    }
    if (!this.#changed.has(key)) this.#changed.set(key, this.#rules.get(key) ?? []);
    this.#apply(key, rules);
  }

  /** Policies that there is no room for, as they were last written. */
  refusals(): Refusal[] {
    return Array.from(this.#refused.values(), ({ refusal }) => refusal);
  }

  #apply(key: string, rules: readonly Rule[]): void {
    if (rules.length > 0) this.#rules.set(key, rules);
    else this.#rules.delete(key);
    this.#prefixes.set(key, rules);
    const changed = this.#selection.setPolicy(key, rules);
    for (const endpoint of changed.endpoints) this.#dirtyEndpoints.add(endpoint);
    for (const part of changed.parts) this.#dirtyParts.add(part);
  }

  setEndpoint(endpoint: PolicyEndpoint): void {
    const key = String(endpoint.id);
    this.#endpoints.set(key, endpoint);
    this.#selection.setEndpoint(key, endpoint.labels);
    this.#dirtyEndpoints.add(key);
  }

  removeEndpoint(id: number): void {
    const key = String(id);
    this.#endpoints.delete(key);
    this.#selection.removeEndpoint(key);
    this.#distinct.release(key);
    this.#dirtyEndpoints.delete(key);
  }

  setIdentity(identity: Identity): void {
    this.#resolving.setIdentity(identity);
  }

  removeIdentity(id: number): void {
    this.#resolving.removeIdentity(id);
  }

  /** Named ports of a pod anywhere in the cluster; undefined: the pod is gone. */
  setPod(key: string, pod: PortsOfPod | undefined): void {
    this.#resolving.setPod(key, pod);
  }

  /** Prefixes that need identities of their own, of all policies whether they select an endpoint of this node or not. */
  requiredPrefixes(): RequiredPrefixes {
    return this.#prefixes.all();
  }

  /** The same when they are others than at the last call. */
  takeRequiredPrefixes(): RequiredPrefixes | undefined {
    return this.#prefixes.takeChanged();
  }

  flush(): EngineChanges {
    this.#retry();
    const rows = new Set<string>();
    const gone = new Set<number>();
    const before = new Map<DistinctPolicy, ResolvedPolicy | undefined>();
    do this.#settle(rows, gone, before);
    while (this.#refuse(before));
    this.#changed.clear();
    const policies: ResolvedPolicy[] = [];
    for (const [policy, was] of before) {
      if (policy.endpoints.size === 0 || was?.revision === policy.resolved!.revision) continue;
      policies.push(policy.resolved!);
      for (const key of policy.endpoints) rows.add(key);
    }
    return {
      policies,
      gonePolicies: [...gone].filter((id) => !this.#distinct.has(id)),
      endpoints: [...rows].filter((key) => this.#endpoints.has(key)).map((key) => this.#rowOf(key)),
      ruleIds: this.ruleIds.takeChanged(),
      costs: this.#resolving.takeCosts(),
    };
  }

  /** What was refused may fit since another policy changed. */
  #retry(): void {
    if (this.#changed.size === 0) return;
    for (const [key, { rules }] of [...this.#refused])
      if (!this.#changed.has(key)) this.setPolicy(key, rules);
  }

  /** Assigns endpoints and resolves what is touched. */
  #settle(
    rows: Set<string>,
    gone: Set<number>,
    before: Map<DistinctPolicy, ResolvedPolicy | undefined>,
  ): void {
    for (const key of this.#dirtyEndpoints) rows.add(key);
    for (const key of this.#partOwners()) this.#dirtyEndpoints.add(key);
    for (const key of this.#dirtyEndpoints) {
      this.#assign(key);
      rows.add(key);
    }
    for (const policy of this.#distinct.sweep()) {
      this.#resolving.forget(policy);
      gone.add(policy.id);
    }
    this.#resolving.renew(this.#wholly(), before);
    this.#dirtyEndpoints.clear();
    this.#dirtyParts.clear();
  }

  /**
   * Where a map would be too large, the policy that made it so is as it was before: the one that changed, else the one that takes most.
   * A map that grew with the cluster's identities, not by a policy, stays what it was. True when something has to be settled again.
   */
  #refuse(before: Map<DistinctPolicy, ResolvedPolicy | undefined>): boolean {
    const { entries: limit } = this.#limits;
    for (const [policy, was] of before) {
      const entries = policy.resolved?.entries ?? [];
      if (entries.length <= limit || policy.endpoints.size === 0) continue;
      const owners = new Set(this.#partsOf(policy).map((part) => part.policy));
      const changed = [...owners].find((key) => this.#changed.has(key));
      const key = changed ?? costliest(entries, this.ruleIds) ?? [...owners][0]!;
      const rules = this.#rules.get(key) ?? [];
      this.#refused.set(key, { rules, refusal: tooManyEntries(key, [entries.length, limit]) });
      if (!changed && was && was.entries.length <= limit) {
        this.#resolving.restore(policy, was);
        continue;
      }
      this.#apply(key, this.#changed.get(key) ?? []);
      this.#changed.delete(key);
      return true;
    }
    return false;
  }

  /** Endpoints under a part whose rules changed: which of their named ports matter may have changed too. */
  *#partOwners(): Iterable<string> {
    if (this.#dirtyParts.size === 0) return;
    for (const policy of this.#distinct.all()) {
      if (policy.parts.some((key) => this.#dirtyParts.has(key))) yield* policy.endpoints;
    }
  }

  #assign(key: string): void {
    const endpoint = this.#endpoints.get(key)!;
    const parts = this.#selection.partsOf(key).map((part) => this.#selection.part(part)!);
    const isolatesAll = this.#enforcement === "always" && !endpoint.labels.has(hostLabel);
    if (parts.length === 0 && !isolatesAll) this.#distinct.release(key);
    else if (this.#enforcement === "never") this.#distinct.release(key);
    else this.#distinct.assign(key, parts, endpoint.namedPorts);
  }

  /** Those that are new or have other rules. */
  #wholly(): Set<DistinctPolicy> {
    const found = new Set<DistinctPolicy>();
    if (this.#dirtyParts.size === 0 && this.#dirtyEndpoints.size === 0) return found;
    for (const policy of this.#distinct.all())
      if (!policy.resolver || policy.parts.some((key) => this.#dirtyParts.has(key))) found.add(policy);
    return found;
  }

  #partsOf(policy: DistinctPolicy): Part[] {
    return policy.parts.map((key) => {
      const part = this.#selection.part(key);
      if (!part) throw new WeftError("E_INTERNAL", `policy ${policy.id} has a part that is gone: ${key}`);
      return part;
    });
  }

  #rowOf(key: string): EndpointPolicyRow {
    const policy = this.#distinct.of(key);
    const endpointId = Number(key);
    if (!policy?.resolved)
      return {
        endpointId,
        policyId: 0,
        revision: 1,
        enforceIngress: false,
        enforceEgress: false,
        policies: [],
      };
    const { id, revision, enforceIngress, enforceEgress, audits } = policy.resolved;
    const policies = [...new Set(this.#partsOf(policy).map((part) => part.policy))];
    return {
      endpointId,
      policyId: id,
      revision,
      enforceIngress,
      enforceEgress,
      ...(audits && { audits }),
      policies,
    };
  }
}

function sameRules(rules: readonly Rule[], before: readonly Rule[] = []): boolean {
  return rules === before || JSON.stringify(rules) === JSON.stringify(before);
}
