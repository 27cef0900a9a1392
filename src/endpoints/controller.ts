// SPDX-License-Identifier: Apache-2.0
import type { Database, Table, WritableTable } from "#store/table.ts";
import type { Endpoint } from "./endpoint.ts";
import type { DatapathEndpoint } from "./table.ts";

/** What the policy room says of an endpoint. */
export interface EndpointPolicy {
  readonly endpointId: number;
  readonly policyId: number;
  readonly revision: number;
  readonly enforceIngress: boolean;
  readonly enforceEgress: boolean;
  /** Some of its policies are in audit. */
  readonly audits?: true;
}

export interface EndpointControllerDeps {
  readonly db: Database;
  readonly endpoints: Table<Endpoint>;
  readonly policies: Table<EndpointPolicy>;
  /**
   * True once the kernel holds the policy's entries at this revision. Until then an endpoint keeps the policy it has: pointing it at a map
   * that is not there yet would let through, or drop, what no rule says.
   */
  policyInForce(policyId: number, revision: number): boolean;
  /** A pod with a new identity is heard only when the others' policies in the kernel know it. Absent: they do. */
  readonly known?: {
    isKnown(identity: number): boolean;
    whenKnown(identity: number, then: () => void): void;
  };
  readonly desired: WritableTable<DatapathEndpoint>;
  /** Of all the node's endpoints, whatever they say themselves. */
  readonly modes: EndpointModes;
}

export interface EndpointModes {
  readonly audit: boolean;
  readonly anySource: boolean;
}

/** Joins endpoints with their policies. Call the returned function again when a policy map has reached the kernel. */
export function startEndpointController(deps: EndpointControllerDeps): Disposable & { refresh(): void } {
  const { db, endpoints, policies, desired } = deps;
  const waiting = new Set<string>();
  const source = desired.source("endpoints");
  let complete = false;
  let synced = false;
  // Not before every endpoint has its row: what the table lacks when it is ready is taken out of the kernel.
  const checkSynced = () => {
    if (synced || !complete || waiting.size > 0) return;
    synced = true;
    source.synced();
  };
  const update = (keys: Iterable<string>) => {
    const unknown = new Set<number>();
    db.write((tx) => {
      for (const key of keys) {
        const endpoint = endpoints.get(key);
        const policy = policies.get(key);
        waiting.delete(key);
        if (!endpoint) tx.delete(desired, key);
        else if (policy && endpoint.identity > 0) {
          if (policy.policyId !== 0 && !deps.policyInForce(policy.policyId, policy.revision))
            waiting.add(key);
          else if (deps.known?.isKnown(endpoint.identity) === false) {
            waiting.add(key);
            unknown.add(endpoint.identity);
          } else tx.put(desired, rowOf(endpoint, policy, deps.modes));
        }
      }
    });
    checkSynced();
    for (const identity of unknown) deps.known?.whenKnown(identity, () => update([...waiting]));
  };
  update([...endpoints.all()].map((endpoint) => String(endpoint.id)));
  void Promise.all([endpoints.ready, policies.ready]).then(() => {
    complete = true;
    checkSynced();
  });
  const stops = [endpoints.onCommit(update), policies.onCommit(update)];
  return {
    refresh: () => update([...waiting]),
    [Symbol.dispose]: () => {
      for (const stop of stops) stop();
    },
  };
}

function rowOf(endpoint: Endpoint, policy: EndpointPolicy, modes: EndpointModes): DatapathEndpoint {
  return {
    endpoint,
    policyId: policy.policyId,
    policyRevision: policy.revision,
    enforceIngress: policy.enforceIngress,
    enforceEgress: policy.enforceEgress,
    audit: modes.audit || endpoint.audit === true,
    audits: policy.audits === true,
    anySource: modes.anySource || endpoint.anySource === true,
  };
}
