// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { resources } from "#k8s/resource.ts";
import { heldBy, type LeaseObject, type Observed } from "./lease.ts";

export interface LeaseRequestOptions {
  readonly client: Pick<KubeClient, "get" | "create" | "replace" | "delete">;
  readonly namespace: string;
  /** Written on each Lease. */
  readonly label: readonly [key: string, value: string];
  /** Who we are in them. */
  readonly identity: string;
  readonly leaseMs: number;
}

/** What a holder asks of the API server. */
export interface LeaseRequests {
  /** Writes us into the Lease as it was last seen. @throws KubeError 409, or 404, when it is another by now */
  write(name: string, seen: Observed): Promise<LeaseObject>;
  read(name: string): Promise<LeaseObject>;
  /** Takes it away as it was last seen; one that is gone already will do. */
  remove(name: string, lease: LeaseObject): Promise<void>;
}

/** A request that hangs must not take a Lease's time: none lasts longer than a third of it. */
export function leaseRequests(options: LeaseRequestOptions, signal: AbortSignal): LeaseRequests {
  const { client, namespace, identity, leaseMs, label } = options;
  const limit = () => AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(leaseMs / 3))]);
  return {
    write(name, seen) {
      const labels = { [label[0]]: label[1] };
      const lease = heldBy(seen, { namespace, name, identity, leaseMs, wallTime: new Date(), labels });
      return seen.lease
        ? client.replace<LeaseObject>(resources.leases, lease, { signal: limit() })
        : client.create<LeaseObject>(resources.leases, lease, { signal: limit() });
    },
    read: (name) => client.get<LeaseObject>(resources.leases, { namespace, name }, limit()),
    async remove(name, { metadata }) {
      const { resourceVersion } = metadata ?? {};
      const only = { ...(resourceVersion && { resourceVersion }), signal: limit() };
      try {
        await client.delete(resources.leases, { namespace, name }, only);
      } catch (thrown) {
        if (!isNotFound(thrown)) throw thrown;
      }
    },
  };
}
