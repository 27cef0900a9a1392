// SPDX-License-Identifier: Apache-2.0
import type { Node } from "#nodes/node.ts";
import type { Changes } from "#store/table.ts";
import type { L2Node, L2Policy } from "./l2-policy.ts";
import type { EndpointSlice, Service } from "./table.ts";

export interface L2Changes {
  readonly services: Changes<Service>;
  readonly endpointSlices: Changes<EndpointSlice>;
  readonly nodes: Changes<Node>;
  readonly l2Policies: Changes<L2Policy>;
}

/** What of the cluster says which addresses this node may announce: most changes do not touch it. */
export class L2Scene {
  readonly #nodeName: string;
  /** Those with an address that could be announced. */
  readonly #services = new Map<string, Service>();
  /** How many slices with a backend here a Service has. */
  readonly #here = new Map<string, number>();
  /** The Service of each such slice. */
  readonly #serviceOf = new Map<string, string>();
  #isNew = true;
  #labels: Readonly<Record<string, string>> = {};
  #leaving = false;

  constructor(nodeName: string) {
    this.#nodeName = nodeName;
  }

  services(): Iterable<Service> {
    return this.#services.values();
  }

  get node(): Omit<L2Node, "devices"> {
    return { labels: this.#labels, hasBackend: (service) => this.#here.has(service) };
  }

  /** About to go: what it announces is to be another's. */
  get leaving(): boolean {
    return this.#leaving;
  }

  /** @returns whether anything of it is another now; the first time it is */
  take(changes: L2Changes): boolean {
    let touched = this.#isNew || changes.l2Policies.size > 0;
    this.#isNew = false;
    for (const [key, { kind, row }] of changes.services) {
      const counts = kind === "put" && row.externalIps.length + row.ingressIps.length > 0;
      if (counts || this.#services.has(key)) touched = true;
      if (counts) this.#services.set(key, row);
      else this.#services.delete(key);
    }
    for (const [key, { kind, row }] of changes.endpointSlices) {
      const isHere = kind === "put" && row.endpoints.some((one) => one.node === this.#nodeName && one.ready);
      for (const service of this.#moveSlice(key, isHere ? row.service : undefined))
        if (this.#services.get(service)?.externalLocal) touched = true;
    }
    for (const { kind, row } of changes.nodes.values())
      if (kind === "put" && row.name === this.#nodeName && this.#setNode(row)) touched = true;
    return touched;
  }

  /** A slice may come to belong to another Service. @returns the Services that have their first backend here, or none any more */
  #moveSlice(slice: string, service: string | undefined): string[] {
    const before = this.#serviceOf.get(slice);
    if (before === service) return [];
    const add = (to: string, by: number) => {
      const count = (this.#here.get(to) ?? 0) + by;
      if (count > 0) this.#here.set(to, count);
      else this.#here.delete(to);
      return count === 0 || (count === 1 && by > 0);
    };
    if (service === undefined) this.#serviceOf.delete(slice);
    else this.#serviceOf.set(slice, service);
    return [
      ...(before !== undefined && add(before, -1) ? [before] : []),
      ...(service !== undefined && add(service, 1) ? [service] : []),
    ];
  }

  #setNode({ labels, leaving: goes }: Node): boolean {
    const leaving = goes === true;
    const plain = Object.fromEntries([...labels].map(([key, value]) => [key.replace(/^k8s:/, ""), value]));
    const same = JSON.stringify([plain, leaving]) === JSON.stringify([this.#labels, this.#leaving]);
    this.#labels = plain;
    this.#leaving = leaving;
    return !same;
  }
}
