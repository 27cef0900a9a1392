// SPDX-License-Identifier: Apache-2.0
import type { NamedPort } from "./rule.ts";

export interface PortsOfPod {
  readonly identity: number;
  readonly ports: readonly NamedPort[];
}

/** Named ports of the pods of each identity, kept up to date one pod at a time. Pods without named ports cost nothing. */
export class PodPorts {
  readonly #pods = new Map<string, PortsOfPod>();
  readonly #counts = new Map<number, Map<string, { readonly port: NamedPort; pods: number }>>();

  /** @param pod undefined: it is gone. Returns the identities whose ports are others now. */
  set(key: string, pod: PortsOfPod | undefined): Set<number> {
    const changed = new Set<number>();
    const before = this.#pods.get(key);
    if (pod && pod.identity > 0 && pod.ports.length > 0) this.#pods.set(key, pod);
    else this.#pods.delete(key);
    const after = this.#pods.get(key);
    if (after) this.#count(after, 1, changed);
    if (before) this.#count(before, -1, changed);
    return changed;
  }

  of(identity: number): NamedPort[] {
    return Array.from(this.#counts.get(identity)?.values() ?? [], ({ port }) => port);
  }

  #count({ identity, ports }: PortsOfPod, by: 1 | -1, changed: Set<number>): void {
    const counts = this.#counts.get(identity) ?? new Map();
    this.#counts.set(identity, counts);
    for (const port of ports) {
      const text = `${port.name} ${port.proto} ${port.port}`;
      const found = counts.get(text) ?? { port, pods: 0 };
      found.pods += by;
      if (found.pods === 0) counts.delete(text);
      else counts.set(text, found);
      if (found.pods === 0 || (by === 1 && found.pods === 1)) changed.add(identity);
    }
    if (counts.size === 0) this.#counts.delete(identity);
  }
}
