// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { resources } from "#k8s/resource.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { startController } from "#store/controller.ts";
import { startWorkQueue } from "#store/work-queue.ts";
import { coreOf } from "./core-endpoint.ts";
import { holds, type Slice, SliceBook, type SliceObject } from "./slices.ts";
import type { OperatorTables } from "./tables.ts";

export interface SliceDeps {
  readonly client: KubeClient;
  readonly tables: Pick<OperatorTables, "endpoints" | "slices">;
  readonly health: Health;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Every agent gets every write of a slice, so there is a limit to them; a slice that waits for its turn takes up further changes meanwhile.
 * A pod's address is news the others wait for: a few at once go without delay.
 */
const rate = { perSec: 20, burst: 100 };

/** Puts the CiliumEndpoints there are into CiliumEndpointSlices. What is right already is not written. */
export function startSliceWriter({ client, tables, health, log, signal }: SliceDeps): AsyncDisposable {
  const { endpoints, slices } = tables;
  const stack = new AsyncDisposableStack();
  let book: SliceBook | undefined;
  const wanted = (slice: string) => {
    const members = book?.members(slice);
    const found = [...(members?.keys ?? [])].flatMap((key) => endpoints.get(key) ?? []);
    return members && { namespace: members.namespace, endpoints: found.map(coreOf) };
  };
  const queue = stack.use(
    startWorkQueue({
      name: "endpoint-slices/write",
      parallel: 8,
      rate,
      health,
      log,
      signal,
      work: (name, until) => write(client, { name, stored: slices.get(name), wanted: wanted(name) }, until),
    }),
  );
  stack.use(
    startController({
      name: "endpoint-slices",
      inputs: { endpoints, slices },
      signal,
      health,
      log,
      run(changes) {
        const dirty = new Set<string>(changes.slices.keys());
        if (!book) {
          book = new SliceBook(slices.all());
          for (const key of [...book.endpoints()]) if (!endpoints.get(key)) dirty.add(book.remove(key)!);
        }
        for (const [key, { kind }] of changes.endpoints) {
          const slice = kind === "put" ? book.add(key) : book.remove(key);
          if (slice !== undefined) dirty.add(slice);
        }
        for (const name of dirty) if (!isRight(slices.get(name), wanted(name))) queue.add(name);
        return `${endpoints.size} endpoint(s) in ${book.size} slice(s)`;
      },
    }),
  );
  return stack;
}

type Wanted = Pick<Slice, "namespace" | "endpoints"> | undefined;

function isRight(stored: Slice | undefined, wanted: Wanted): boolean {
  if (!stored || !wanted) return !stored && !wanted;
  return stored.namespace === wanted.namespace && holds(stored, wanted.endpoints);
}

async function write(
  client: KubeClient,
  { name, stored, wanted }: { name: string; stored: Slice | undefined; wanted: Wanted },
  signal: AbortSignal,
): Promise<void> {
  if (isRight(stored, wanted)) return;
  const resource = resources.ciliumEndpointSlices;
  if (!wanted) {
    try {
      await client.delete(resource, { name }, { uid: stored!.uid, signal });
    } catch (thrown) {
      if (!isNotFound(thrown)) throw thrown;
    }
    return;
  }
  const object: SliceObject = {
    apiVersion: "cilium.io/v2alpha1",
    kind: "CiliumEndpointSlice",
    metadata: { name, ...(stored && { uid: stored.uid, resourceVersion: stored.resourceVersion }) },
    namespace: wanted.namespace,
    endpoints: wanted.endpoints,
  };
  if (stored) await client.replace(resource, object, { signal });
  else await client.create(resource, object, { signal });
}

/** Slices nobody keeps any more would tell agents of pods that are gone. */
export async function removeSlices(client: KubeClient, log: Logger, signal: AbortSignal): Promise<void> {
  const resource = resources.ciliumEndpointSlices;
  const { items } = await client.list<SliceObject>(resource, { signal });
  for (const { metadata } of items) {
    try {
      await client.delete(resource, { name: metadata.name }, { signal });
    } catch (thrown) {
      if (!isNotFound(thrown)) throw thrown;
    }
  }
  if (items.length > 0) log.info({ slices: items.length }, "slices removed: endpointSlices is off");
}
