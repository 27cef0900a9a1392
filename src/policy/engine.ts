// SPDX-License-Identifier: Apache-2.0
import type { Identity } from "#identities/identity.ts";
import { WeftError } from "#lib/errors.ts";
import type { Prefix } from "#model/ip.ts";
import { DistinctPolicies, type DistinctPolicy, dependenciesOf } from "./distinct.ts";
import { requiredPrefixes } from "./peer.ts";
import { IdentityIndex } from "./peer-index.ts";
import { type Enforcement, resolve } from "./resolve.ts";
import type { NamedPort, ResolvedPolicy, Rule } from "./rule.ts";
import { RuleIds } from "./rule-ids.ts";
import { type Part, Selection } from "./selection.ts";
import type { EndpointPolicyRow, PolicyEndpoint } from "./table.ts";

/** Prefixes that need identities of their own: of parts of the world, and of addresses whoever has them. */
export interface RequiredPrefixes {
  readonly cidrs: ReadonlySet<Prefix>;
  readonly blocks: ReadonlySet<Prefix>;
}

/** What one `flush` changed. */
export interface EngineChanges {
  readonly policies: readonly ResolvedPolicy[];
  readonly gonePolicies: readonly number[];
  readonly endpoints: readonly EndpointPolicyRow[];
}

/**
 * Policies, endpoints and identities in; resolved policies out. Each setter marks what its change touches, `flush` resolves just that.
 * Pure: no tables, no clock.
 */
export class PolicyEngine {
  readonly ruleIds = new RuleIds();
  readonly #enforcement: Enforcement;
  readonly #selection = new Selection();
  readonly #distinct = new DistinctPolicies();
  readonly #index = new IdentityIndex();
  readonly #rules = new Map<string, readonly Rule[]>();
  readonly #endpoints = new Map<string, PolicyEndpoint>();
  readonly #pods = new Map<string, { readonly identity: number; readonly ports: readonly NamedPort[] }>();
  readonly #podsOf = new Map<number, Set<string>>();
  readonly #dirtyEndpoints = new Set<string>();
  readonly #dirtyParts = new Set<string>();
  readonly #touched = new Set<string>();

  constructor(enforcement: Enforcement) {
    this.#enforcement = enforcement;
  }

  /** @param rules none: the policy is gone, or refused */
  setPolicy(key: string, rules: readonly Rule[]): void {
    if (rules.length === 0) this.#rules.delete(key);
    else this.#rules.set(key, rules);
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
    for (const text of this.#index.put(identity)) this.#touched.add(text);
  }

  removeIdentity(id: number): void {
    for (const text of this.#index.remove(id)) this.#touched.add(text);
  }

  /** Named ports of a pod anywhere in the cluster; undefined: the pod is gone. */
  setPod(
    key: string,
    pod: { readonly identity: number; readonly ports: readonly NamedPort[] } | undefined,
  ): void {
    const before = this.#pods.get(key);
    if (before) this.#podsOf.get(before.identity)?.delete(key);
    if (pod) {
      this.#pods.set(key, pod);
      const pods = this.#podsOf.get(pod.identity) ?? new Set();
      this.#podsOf.set(pod.identity, pods.add(key));
    } else {
      this.#pods.delete(key);
    }
    for (const identity of new Set([before?.identity, pod?.identity])) if (identity) this.#setPorts(identity);
  }

  /** Prefixes that need identities of their own, of all policies whether they select an endpoint of this node or not. */
  requiredPrefixes(): RequiredPrefixes {
    const rules = [...this.#rules.values()].flat();
    return {
      cidrs: new Set(requiredPrefixes("cidr", rules)),
      blocks: new Set(requiredPrefixes("block", rules)),
    };
  }

  flush(): EngineChanges {
    const rows = new Set(this.#dirtyEndpoints);
    for (const key of this.#partOwners()) this.#dirtyEndpoints.add(key);
    for (const key of this.#dirtyEndpoints) this.#assign(key);
    const gonePolicies = this.#distinct.sweep();
    const policies: ResolvedPolicy[] = [];
    for (const policy of this.#distinct.all()) {
      if (!this.#isDirty(policy)) continue;
      const before = policy.resolved;
      this.#resolve(policy);
      if (before?.revision === policy.resolved!.revision) continue;
      policies.push(policy.resolved!);
      for (const key of policy.endpoints) rows.add(key);
    }
    for (const key of this.#dirtyEndpoints) rows.add(key);
    this.#dirtyEndpoints.clear();
    this.#dirtyParts.clear();
    this.#touched.clear();
    if (policies.length > 0 || gonePolicies.length > 0) this.#retain();
    return {
      policies,
      gonePolicies,
      endpoints: [...rows].filter((key) => this.#endpoints.has(key)).map((key) => this.#rowOf(key)),
    };
  }

  #setPorts(identity: number): void {
    const ports = [...(this.#podsOf.get(identity) ?? [])].flatMap((key) => this.#pods.get(key)!.ports);
    for (const text of this.#index.setPorts(identity, ports)) this.#touched.add(text);
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
    if (parts.length === 0 && this.#enforcement !== "always") this.#distinct.release(key);
    else if (this.#enforcement === "never") this.#distinct.release(key);
    else this.#distinct.assign(key, parts, endpoint.namedPorts);
  }

  #isDirty(policy: DistinctPolicy): boolean {
    if (!policy.resolved || policy.parts.some((key) => this.#dirtyParts.has(key))) return true;
    for (const text of this.#touched) if (policy.depends.has(text)) return true;
    return false;
  }

  #resolve(policy: DistinctPolicy): void {
    const rules = this.#partsOf(policy).flatMap((part) => part.rules);
    policy.depends = dependenciesOf(rules);
    policy.resolved = resolve({
      id: policy.id,
      rules,
      peers: this.#index,
      ports: policy.ports,
      ruleId: (origins) => this.ruleIds.idOf(origins),
      enforcement: this.#enforcement,
    });
    policy.rules = new Set(policy.resolved.entries.map(({ rule }) => rule));
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

  #retain(): void {
    const peers = new Set<string>();
    const used = new Set<number>();
    for (const { depends, rules } of this.#distinct.all()) {
      for (const text of depends) peers.add(text);
      for (const rule of rules) used.add(rule);
    }
    this.#index.retain(peers);
    this.ruleIds.retain(used);
  }
}
