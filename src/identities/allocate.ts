// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import { hash32 } from "#lib/hash.ts";
import { clusterIdentityRange, localIdentityScope } from "#model/identity.ts";
import { type Labels, labelText } from "#model/labels.ts";

/** Where cluster-wide identities are kept; CiliumIdentity objects in the real thing. */
export interface IdentityStore {
  /** Labels of the identity with this number, from what is known locally; undefined: none known. */
  known(id: number): Labels | undefined;
  /** Number these labels have already, from what is known locally. */
  find(labels: Labels): number | undefined;
  /** Takes the number for the labels, or answers whose it is. @throws WeftError when the store can't be asked. */
  claim(id: number, labels: Labels, signal: AbortSignal): Promise<"claimed" | Labels>;
}

const size = clusterIdentityRange.last - clusterIdentityRange.first + 1;
/** Far more neighbours in a row than a table filled to 90 % shows; past it the range counts as full. */
const maxProbes = 4096;

/**
 * The cluster-wide identity of a label set: the one it has, else the hash of the labels, or the next free number after it. Agents that allocate
 * for the same labels at once try the same number, so they agree without talking to each other. `prefer` is tried first: the number the labels
 * had, when somebody took it away while it was in use.
 * @throws WeftError E_IDENTITY_FULL
 */
export async function allocateIdentity(
  store: IdentityStore,
  labels: Labels,
  { signal, prefer }: { readonly signal: AbortSignal; readonly prefer?: number | undefined },
): Promise<number> {
  const found = store.find(labels);
  if (found !== undefined) return found;
  const text = labelText(labels);
  const start = hash32(text) % size;
  for (let probe = prefer === undefined ? 0 : -1; probe < maxProbes; probe++) {
    const id = probe < 0 ? prefer! : clusterIdentityRange.first + ((start + probe) % size);
    const known = store.known(id);
    if (known) {
      if (labelText(known) === text) return id;
      continue;
    }
    const answer = await store.claim(id, labels, signal);
    if (answer === "claimed" || labelText(answer) === text) return id;
  }
  throw new WeftError("E_IDENTITY_FULL", `no identity is free for ${text}`, {
    hint: "delete unused CiliumIdentity objects, or keep labels that differ from pod to pod out of identities (identityLabels)",
  });
}

/** The node-local identity number of a prefix in a scope: the hash of the prefix, the next one when `taken` says so. */
export function localIdentity(
  prefix: string,
  taken: (id: number) => boolean,
  scope: number = localIdentityScope,
): number {
  const start = hash32(prefix) & 0xffffff;
  for (let probe = 0; probe <= 0xffffff; probe++) {
    const id = scope | ((start + probe) & 0xffffff);
    if (id !== scope && !taken(id)) return id;
  }
  throw new WeftError("E_IDENTITY_FULL", `no local identity is free for ${prefix}`);
}
