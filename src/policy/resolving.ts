// SPDX-License-Identifier: Apache-2.0
import type { Identity } from "#identities/identity.ts";
import { type PolicyCost, PolicyCosts } from "./costs.ts";
import { Dependents } from "./dependents.ts";
import { type DistinctPolicy, dependenciesOf } from "./distinct.ts";
import { IdentityIndex } from "./peer-index.ts";
import { PodPorts, type PortsOfPod } from "./pod-ports.ts";
import { renewAll, renewSome } from "./renew.ts";
import { type Enforcement, type Resolver, resolver } from "./resolve.ts";
import type { ResolvedPolicy, Rule } from "./rule.ts";
import { RuleIds } from "./rule-ids.ts";
import { isAboutHost } from "./selector.ts";

export interface ResolvingOptions {
  readonly enforcement: Enforcement;
  /** Goes before all rules of policies about the node. */
  readonly neverLockOut: readonly Rule[];
  /** All rules of a policy, as they are by now. */
  rulesOf(policy: DistinctPolicy): readonly Rule[];
}

/** What the identities there are make of policies' rules: entries, the numbers in them, what they cost. Knows peers, no endpoints. */
export class Resolving {
  readonly ruleIds = new RuleIds();
  readonly #options: ResolvingOptions;
  readonly #index = new IdentityIndex();
  readonly #pods = new PodPorts();
  readonly #dependents = new Dependents();
  readonly #costs = new PolicyCosts((rule) => this.ruleIds.origins(rule));
  /** Numbers of rules that the entries of each policy may carry. */
  readonly #rules = new Map<DistinctPolicy, ReadonlySet<number>>();

  constructor(options: ResolvingOptions) {
    this.#options = options;
  }

  setIdentity(identity: Identity): void {
    this.#dependents.touch(identity.id, this.#index.put(identity));
  }

  removeIdentity(id: number): void {
    this.#dependents.touch(id, this.#index.remove(id));
  }

  setPod(key: string, pod: PortsOfPod | undefined): void {
    for (const identity of this.#pods.set(key, pod))
      this.#dependents.touch(identity, this.#index.setPorts(identity, this.#pods.of(identity)));
  }

  /** See {@link PolicyCosts.takeChanged}. */
  takeCosts(): PolicyCost[] {
    return this.#costs.takeChanged();
  }

  /**
   * Resolves what changed.
   * @param stale policies that are new or have other rules
   * @param before is told what each policy was, the first time it is touched
   */
  renew(stale: ReadonlySet<DistinctPolicy>, before: Map<DistinctPolicy, ResolvedPolicy | undefined>): void {
    const whole = new Set(stale);
    const note = (policy: DistinctPolicy) => {
      if (!before.has(policy)) before.set(policy, policy.resolved);
    };
    for (const [policy, identities] of this.#dependents.take()) {
      if (!policy.resolver) whole.add(policy);
      if (whole.has(policy)) continue;
      note(policy);
      const { gone, come } = renewSome(policy, policy.resolver!, identities);
      this.#costs.move(policy.id, gone, come);
    }
    for (const policy of whole) {
      note(policy);
      renewAll(policy, this.#resolverOf(policy));
      this.#costs.set(policy.id, policy.resolved!.entries);
    }
    if (whole.size > 0) this.#retainRules();
  }

  /** What a policy was before holds again; it is resolved anew with the next change that concerns it. */
  restore(policy: DistinctPolicy, was: ResolvedPolicy): void {
    policy.resolved = was;
    policy.resolver = undefined;
    this.#costs.set(policy.id, was.entries);
  }

  /** A policy is gone. */
  forget(policy: DistinctPolicy): void {
    this.#depend(policy, new Set());
    this.#rules.delete(policy);
    this.#costs.drop(policy.id);
  }

  #resolverOf(policy: DistinctPolicy): Resolver {
    const { enforcement, neverLockOut, rulesOf } = this.#options;
    const own = rulesOf(policy);
    const ofHost = own.some(({ subject }) => isAboutHost(subject));
    const rules = [...(ofHost ? neverLockOut : []), ...own];
    this.#depend(policy, dependenciesOf(rules));
    const numbers = new Set<number>();
    this.#rules.set(policy, numbers);
    return resolver({
      id: policy.id,
      rules,
      peers: this.#index,
      ports: policy.ports,
      ruleId: (origins) => {
        const id = this.ruleIds.idOf(origins);
        numbers.add(id);
        return id;
      },
      // Only its policies isolate a node: the modes are about pods.
      enforcement: ofHost ? "default" : enforcement,
    });
  }

  #depend(policy: DistinctPolicy, texts: ReadonlySet<string>): void {
    for (const text of this.#dependents.set(policy, texts)) this.#index.forget(text);
  }

  #retainRules(): void {
    const used = new Set<number>();
    for (const rules of this.#rules.values()) for (const rule of rules) used.add(rule);
    this.ruleIds.retain(used);
  }
}
