// SPDX-License-Identifier: Apache-2.0
import type { Endpoint } from "#endpoints/endpoint.ts";
import type { ClusterEndpoint } from "#endpoints/table.ts";
import type { Health } from "#lib/health.ts";
import { isAddress } from "#model/ip.ts";
import { parseLabels } from "#model/labels.ts";
import { type Node, nodeAddress } from "#nodes/node.ts";
import type { ApiServer } from "#nodes/table.ts";
import type { Database, Table, WritableTable } from "#store/table.ts";
import { addressFor, type OwnAddress } from "./own-addresses.ts";
import type { EgressPolicy } from "./policy.ts";
import { type EgressPod, type EgressRow, egressRows } from "./rows.ts";

export interface EgressControllerDeps {
  readonly db: Database;
  readonly policies: Table<EgressPolicy>;
  readonly nodes: Table<Node>;
  readonly apiServers: Table<ApiServer>;
  readonly ownAddresses: Table<OwnAddress>;
  /** Of this node: known before anybody else knows of them. */
  readonly endpoints: Table<Endpoint>;
  /** Of all nodes. */
  readonly clusterEndpoints: Table<ClusterEndpoint>;
  readonly egress: WritableTable<EgressRow>;
  /** Else policies have no effect on this node, which is said. */
  readonly enabled: boolean;
  readonly health: Health;
}

/**
 * Pods, policies and nodes → how pods leave. A pod's rows are written inside the commit that brings the pod, so whoever waits for the
 * table after it waits for them; what concerns all pods comes once a turn.
 */
export function startEgressController(deps: EgressControllerDeps): Disposable {
  const { policies, nodes, apiServers, ownAddresses, endpoints, clusterEndpoints, egress } = deps;
  const { enabled, health } = deps;
  const common = [policies, nodes, apiServers, ownAddresses];
  const source = egress.source("egress");
  const writer = new RowWriter(deps);
  const stops: (() => void)[] = [];
  let scheduled: NodeJS.Immediate | undefined;
  let stopped = false;
  const whole = () => {
    scheduled = undefined;
    if (stopped) return;
    writer.renew();
    if (enabled || policies.size === 0)
      health.set("egress", "ok", `${policies.size} policies, ${egress.size} row(s)`);
    else
      health.set(
        "egress",
        "degraded",
        `${policies.size} policies without effect: egressGateway is off on this node`,
      );
  };
  const begin = () => {
    if (stopped) return;
    whole();
    source.synced();
    for (const table of common) stops.push(table.onCommit(() => (scheduled ??= setImmediate(whole))));
    stops.push(endpoints.onCommit((keys) => writer.endpoints(keys)));
    stops.push(clusterEndpoints.onCommit((keys) => writer.others(keys)));
  };
  void Promise.all([...common, endpoints, clusterEndpoints].map((table) => table.ready)).then(begin);
  return {
    [Symbol.dispose]: () => {
      stopped = true;
      if (scheduled) clearImmediate(scheduled);
      for (const stop of stops) stop();
    },
  };
}

/** Writes the rows of pods, and takes away those a pod has no more. */
class RowWriter {
  readonly #deps: EgressControllerDeps;
  #rowsOf: (pod: EgressPod) => EgressRow[] = () => [];
  /** Keys of rows by pod, and whose a row is: an address may be another pod's already when the news of the first one's end come. */
  readonly #written = new Map<string, readonly string[]>();
  readonly #owner = new Map<string, string>();

  constructor(deps: EgressControllerDeps) {
    this.#deps = deps;
  }

  /** Everything anew. */
  renew(): void {
    const { policies, nodes, apiServers, ownAddresses, endpoints, clusterEndpoints } = this.#deps;
    const all = [...nodes.all()];
    const self = all.find((node) => node.self);
    this.#rowsOf = egressRows({
      policies: this.#deps.enabled ? [...policies.all()] : [],
      nodes: all,
      apiServers: [...apiServers.all()].map(({ address }) => address),
      addressOf: (choice, of) =>
        addressFor(ownAddresses.all(), choice, { of, usual: self && nodeAddress(self, of) }),
    });
    const pods = new Set(this.#written.keys());
    for (const { id } of endpoints.all()) pods.add(`${own}${id}`);
    for (const row of clusterEndpoints.all()) pods.add(clusterEndpoints.keyOf(row));
    this.#write(pods);
  }

  endpoints(keys: Iterable<string>): void {
    this.#write([...keys].map((key) => `${own}${key}`));
  }

  others(keys: Iterable<string>): void {
    this.#write(keys);
  }

  #write(pods: Iterable<string>): void {
    const { db, egress } = this.#deps;
    db.write((tx) => {
      for (const key of pods) {
        const pod = key.startsWith(own) ? this.#ownPod(key.slice(own.length)) : this.#otherPod(key);
        const rows = pod ? this.#rowsOf(pod) : [];
        const before = this.#written.get(key) ?? [];
        const after = rows.map((row) => egress.keyOf(row));
        for (const old of before) {
          if (after.includes(old) || this.#owner.get(old) !== key) continue;
          this.#owner.delete(old);
          tx.delete(egress, old);
        }
        for (const row of rows) {
          this.#owner.set(egress.keyOf(row), key);
          tx.put(egress, row);
        }
        if (after.length > 0) this.#written.set(key, after);
        else this.#written.delete(key);
      }
    });
  }

  #ownPod(id: string): EgressPod | undefined {
    const endpoint = this.#deps.endpoints.get(id);
    if (!endpoint) return undefined;
    const { namespace, pod, labels, v4, v6 } = endpoint;
    const addresses = [v4, v6].filter((address) => address !== undefined);
    const node = [...this.#deps.nodes.all()].find(({ self }) => self);
    return { name: `${namespace}/${pod}`, labels, addresses, node };
  }

  /** Undefined also for a pod of this node: what it published is older than what this node knows. */
  #otherPod(key: string): EgressPod | undefined {
    const row = this.#deps.clusterEndpoints.get(key);
    if (!row) return undefined;
    const [node] = this.#deps.nodes.by("address", row.nodeAddress);
    if (node?.self) return undefined;
    const addresses = row.addresses.filter(isAddress);
    return { name: key, labels: parseLabels(row.labels), addresses, node };
  }
}

/** No namespace begins so. */
const own = "own:";
