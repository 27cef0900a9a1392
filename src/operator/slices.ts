// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from "#k8s/resource.ts";
import { hash32 } from "#lib/hash.ts";
import { type CoreEndpoint, coreText } from "./core-endpoint.ts";

/** A CiliumEndpointSlice as it stands in the API server. */
export interface Slice {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly endpoints: readonly CoreEndpoint[];
}

/** cilium.io/v2alpha1 CiliumEndpointSlice: cluster-wide, of the endpoints of one namespace. */
export interface SliceObject extends KubeObject {
  readonly metadata: { readonly name: string; readonly uid?: string; readonly resourceVersion?: string };
  readonly namespace?: string;
  readonly endpoints?: readonly CoreEndpoint[];
}

export function sliceRow({ metadata, namespace = "", endpoints = [] }: SliceObject): Slice {
  const { name, uid = "", resourceVersion = "" } = metadata;
  return { name, namespace, uid, resourceVersion, endpoints };
}

/** As many endpoints as a slice holds: Cilium's number. A change of one is sent to every agent with all of them. */
const maxInSlice = 100;

/**
 * Which endpoint is in which slice: endpoints come first into the fullest slice of their namespace that has room, and stay there. What
 * slices hold already when this begins stays too, so that an operator that comes back has nothing to write.
 */
export class SliceBook {
  /** Endpoint's `namespace/name` → slice. */
  readonly #sliceOf = new Map<string, string>();
  readonly #members = new Map<string, { readonly namespace: string; readonly keys: Set<string> }>();
  readonly #byNamespace = new Map<string, Set<string>>();

  /** Takes up what is there; an endpoint in two slices (its writer died half-way) counts for the first by name. */
  constructor(slices: Iterable<Slice>) {
    for (const slice of [...slices].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (slice.namespace === "") continue;
      this.#open(slice.name, slice.namespace);
      for (const { name } of slice.endpoints) {
        const key = `${slice.namespace}/${name}`;
        if (!this.#sliceOf.has(key)) this.#put(key, slice.name);
      }
    }
  }

  /** Slices there shall be. */
  get size(): number {
    return this.#members.size;
  }

  /** Keys of the endpoints that are in some slice. */
  endpoints(): Iterable<string> {
    return this.#sliceOf.keys();
  }

  /** An endpoint that is there. @returns the slice it is in */
  add(key: string): string {
    const known = this.#sliceOf.get(key);
    if (known !== undefined) return known;
    const namespace = key.slice(0, key.indexOf("/"));
    const slice = this.#withRoom(namespace) ?? this.#open(this.#newName(key), namespace);
    this.#put(key, slice);
    return slice;
  }

  /** An endpoint that is gone. @returns the slice it was in */
  remove(key: string): string | undefined {
    const slice = this.#sliceOf.get(key);
    if (slice === undefined) return undefined;
    this.#sliceOf.delete(key);
    const { keys, namespace } = this.#members.get(slice)!;
    keys.delete(key);
    if (keys.size === 0) {
      this.#members.delete(slice);
      const names = this.#byNamespace.get(namespace);
      names?.delete(slice);
      if (names?.size === 0) this.#byNamespace.delete(namespace);
    }
    return slice;
  }

  /** What a slice shall hold; undefined: there shall be none of that name. */
  members(slice: string): { readonly namespace: string; readonly keys: ReadonlySet<string> } | undefined {
    const members = this.#members.get(slice);
    return members && members.keys.size > 0 ? members : undefined;
  }

  #withRoom(namespace: string): string | undefined {
    let best: string | undefined;
    let most = -1;
    for (const name of this.#byNamespace.get(namespace) ?? []) {
      const { size } = this.#members.get(name)!.keys;
      if (size < maxInSlice && size > most) [best, most] = [name, size];
    }
    return best;
  }

  #open(name: string, namespace: string): string {
    this.#members.set(name, { namespace, keys: new Set() });
    const names = this.#byNamespace.get(namespace) ?? new Set();
    this.#byNamespace.set(namespace, names.add(name));
    return name;
  }

  #put(key: string, slice: string): void {
    this.#sliceOf.set(key, slice);
    this.#members.get(slice)!.keys.add(key);
  }

  #newName(key: string): string {
    for (let probe = 0; ; probe++) {
      const name = `ces-${hash32(`${key} ${probe}`).toString(36)}`;
      if (!this.#members.has(name)) return name;
    }
  }
}

/** Whether a slice holds just these endpoints, in whatever order. */
export function holds(slice: Slice, wanted: readonly CoreEndpoint[]): boolean {
  if (slice.endpoints.length !== wanted.length) return false;
  const texts = new Set(slice.endpoints.map(coreText));
  return texts.size === wanted.length && wanted.every((endpoint) => texts.has(coreText(endpoint)));
}
