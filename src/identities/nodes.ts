// SPDX-License-Identifier: Apache-2.0
import { type Clock, systemClock } from "#lib/clock.ts";
import { nodeIdentityScope, ReservedIdentity } from "#model/identity.ts";
import { type Labels, labelText } from "#model/labels.ts";
import type { Database, WritableTable } from "#store/table.ts";
import { localIdentity } from "./allocate.ts";
import type { Identity } from "./identity.ts";

/** How long an identity that no address has any more is kept, so that policies know it as long as a packet may carry it. */
const lingerMs = 5000;

/** What policies ask of a node beside its addresses. */
export interface NodeFacts {
  readonly labels: Labels;
  /** An API server of the cluster answers at one of its addresses. */
  readonly apiServer: boolean;
}

/**
 * Labels of another node's identity: of the node's own only those that policies ask for, so that nodes which no policy tells apart share an
 * identity, and one entry in each policy map.
 */
function nodeIdentityLabels({ labels, apiServer }: NodeFacts, keys: ReadonlySet<string>): Labels {
  const kept = new Map([...labels].filter(([key]) => keys.has(key)));
  if (apiServer) kept.set("reserved:kube-apiserver", "");
  return kept.set("reserved:remote-node", "");
}

export interface NodeIdentityDeps {
  readonly db: Database;
  readonly identities: WritableTable<Identity>;
  readonly clock?: Clock;
}

/** Gives nodes identities: the reserved ones, and while policies ask for labels one for each set of them. */
export class NodeIdentities implements Disposable {
  readonly #deps: NodeIdentityDeps;
  readonly #ids = new Map<string, number>();
  readonly #doomed = new Map<string, () => void>();

  constructor(deps: NodeIdentityDeps) {
    this.#deps = deps;
  }

  /**
   * The identities of all other nodes at once, in their order. What no node has any more is taken back.
   * @param keys of labels, with source, that policies ask of nodes
   */
  assign(nodes: readonly NodeFacts[], keys: ReadonlySet<string>): number[] {
    const used = new Set<string>();
    const assigned = nodes.map((node) => {
      const labels = nodeIdentityLabels(node, keys);
      const reserved = node.apiServer ? ReservedIdentity.kubeApiserver : ReservedIdentity.remoteNode;
      if (labels.size === (node.apiServer ? 2 : 1)) return reserved;
      const text = labelText(labels);
      used.add(text);
      return this.#idOf(text, labels);
    });
    for (const text of this.#ids.keys()) if (!used.has(text)) this.#release(text);
    return assigned;
  }

  /** The same of this node's own identity, which stays what it is. */
  setHost({ labels, apiServer }: NodeFacts, keys: ReadonlySet<string>): void {
    const { db, identities } = this.#deps;
    const kept = new Map([...labels].filter(([key]) => keys.has(key)));
    if (apiServer) kept.set("reserved:kube-apiserver", "");
    kept.set("reserved:host", "");
    db.write((tx) => tx.put(identities, { id: ReservedIdentity.host, labels: kept }));
  }

  #idOf(text: string, labels: Labels): number {
    const { db, identities } = this.#deps;
    this.#doomed.get(text)?.();
    this.#doomed.delete(text);
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    const id = localIdentity(text, (taken) => identities.get(String(taken)) !== undefined, nodeIdentityScope);
    this.#ids.set(text, id);
    db.write((tx) => tx.put(identities, { id, labels }));
    return id;
  }

  #release(text: string): void {
    if (this.#doomed.has(text)) return;
    const { db, identities, clock = systemClock } = this.#deps;
    const cancel = clock.after(lingerMs, () => {
      this.#doomed.delete(text);
      const id = this.#ids.get(text)!;
      this.#ids.delete(text);
      db.write((tx) => tx.delete(identities, String(id)));
    });
    this.#doomed.set(text, cancel);
  }

  [Symbol.dispose](): void {
    for (const cancel of this.#doomed.values()) cancel();
  }
}
