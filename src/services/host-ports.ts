// SPDX-License-Identifier: Apache-2.0
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Address } from "#model/ip.ts";
import { protoName } from "#services/service.ts";
import type { HostPort } from "#services/table.ts";
import { startController } from "#store/controller.ts";
import type { Database, Table, WritableTable } from "#store/table.ts";

/** What of a pod is asked here. */
export interface PodPorts {
  readonly namespace: string;
  readonly name: string;
  readonly hostPorts?: readonly {
    readonly proto: number;
    readonly port: number;
    readonly hostIp?: Address;
    readonly targetPort: number;
  }[];
}

/** What of a pod's attachment to the node is asked here. A pod of the host's own network has none, and its ports need no leading. */
export interface PodAddresses {
  readonly namespace: string;
  readonly pod: string;
  readonly v4?: Address | undefined;
  readonly v6?: Address | undefined;
}

export interface HostPortDeps {
  readonly db: Database;
  readonly pods: Table<PodPorts>;
  /** With an index `pod`: `namespace/name`. */
  readonly endpoints: Table<PodAddresses>;
  /** Written. */
  readonly hostPorts: WritableTable<HostPort>;
  readonly health: Health;
  readonly log: Logger;
}

/** Pods of this node × their addresses → the node's ports that lead to them. */
export function startHostPorts(deps: HostPortDeps, signal: AbortSignal): AsyncDisposable {
  const { db, pods, endpoints, hostPorts, health, log } = deps;
  const written = new Map<string, readonly string[]>();
  return startController({
    name: "host-ports",
    inputs: { pods, endpoints },
    outputs: [hostPorts.source("pods")],
    signal,
    health,
    log,
    run(changes) {
      const concerned = new Set(changes.pods.keys());
      for (const { row } of changes.endpoints.values()) concerned.add(`${row.namespace}/${row.pod}`);
      db.write((tx) => {
        for (const key of concerned) {
          const pod = pods.get(key);
          const rows = pod?.hostPorts?.length ? rowsOf(pod, [...endpoints.by("pod", key)]) : [];
          const keys = rows.map((row) => hostPorts.keyOf(row));
          for (const gone of written.get(key) ?? []) if (!keys.includes(gone)) tx.delete(hostPorts, gone);
          for (const row of rows) tx.put(hostPorts, row);
          if (keys.length > 0) written.set(key, keys);
          else written.delete(key);
        }
      });
      const refused = [...hostPorts.all()].filter(({ problem }) => problem).length;
      return `${hostPorts.size} port(s)${refused > 0 ? `, ${refused} of them not served` : ""}`;
    },
  });
}

const served: ReadonlySet<number> = new Set([6, 17]);

function rowsOf({ namespace, name, hostPorts = [] }: PodPorts, at: readonly PodAddresses[]): HostPort[] {
  // The latest attachment first: of a pod whose sandbox is being replaced there are two for a moment.
  const targets = [...at]
    .reverse()
    .flatMap(({ v4, v6 }) => [v4, v6])
    .filter((address) => address !== undefined);
  if (targets.length === 0) return [];
  return hostPorts.map((port) => ({
    namespace,
    pod: name,
    ...port,
    targets,
    ...(!served.has(port.proto) && { problem: `protocol ${protoName(port.proto)} is not supported` }),
  }));
}
