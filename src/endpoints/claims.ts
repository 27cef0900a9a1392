// SPDX-License-Identifier: Apache-2.0
import type { IpcacheEntry } from "#identities/identity.ts";
import { claimKey } from "#identities/table.ts";
import { type Address, hostPrefix, isAddress } from "#model/ip.ts";
import type { Database, Table, WritableTable } from "#store/table.ts";
import type { Endpoint } from "./endpoint.ts";
import type { ClusterEndpoint } from "./table.ts";

export interface RemoteEndpointDeps {
  readonly db: Database;
  readonly endpoints: Table<Endpoint>;
  readonly clusterEndpoints: Table<ClusterEndpoint>;
  readonly claims: WritableTable<IpcacheEntry>;
  /** Packets go to pods' nodes (a tunnel, direct server return by Geneve): the datapath is told which. */
  readonly tellsNodes: boolean;
  /** Own underlay addresses: what lives there is local. */
  ownAddresses(): readonly Address[];
}

/**
 * What pods' addresses mean: those of this node as the node itself knows them, the others as their nodes published. Runs inside the
 * commits that bring the news.
 */
export function startEndpointClaims(deps: RemoteEndpointDeps): Disposable {
  const { db, endpoints, clusterEndpoints, claims } = deps;
  const written = new Map<string, readonly string[]>();
  const source = claims.source("endpoints");
  const put = (owner: string, rows: readonly IpcacheEntry[]) => {
    const keys = rows.map(claimKey);
    db.write((tx) => {
      for (const key of written.get(owner) ?? []) if (!keys.includes(key)) tx.delete(claims, key);
      for (const row of rows) tx.put(claims, row);
    });
    if (keys.length > 0) written.set(owner, keys);
    else written.delete(owner);
  };
  const local = (id: string) => put(`local ${id}`, localClaims(endpoints.get(id)));
  const remote = (key: string) => put(`cluster ${key}`, remoteClaims(clusterEndpoints.get(key), deps));
  for (const row of endpoints.all()) local(String(row.id));
  for (const row of clusterEndpoints.all()) remote(`${row.namespace}/${row.name}`);
  const stops = [
    endpoints.onCommit((keys) => {
      for (const key of keys) local(key);
    }),
    clusterEndpoints.onCommit((keys) => {
      for (const key of keys) remote(key);
    }),
  ];
  void Promise.all([endpoints.ready, clusterEndpoints.ready]).then(() => source.synced());
  return {
    [Symbol.dispose]: () => {
      for (const stop of stops) stop();
    },
  };
}

function localClaims(endpoint: Endpoint | undefined): IpcacheEntry[] {
  if (!endpoint || endpoint.identity === 0) return [];
  return [endpoint.v4, endpoint.v6]
    .filter((address) => address !== undefined)
    .map((address) => ({ prefix: hostPrefix(address), identity: endpoint.identity, source: "local" }));
}

function remoteClaims(endpoint: ClusterEndpoint | undefined, deps: RemoteEndpointDeps): IpcacheEntry[] {
  if (!endpoint || !isAddress(endpoint.nodeAddress)) return [];
  const node = endpoint.nodeAddress;
  if (deps.ownAddresses().includes(node)) return [];
  const tunnel = deps.tellsNodes ? { tunnel: node } : {};
  return endpoint.addresses.filter(isAddress).map((address) => ({
    prefix: hostPrefix(address),
    identity: endpoint.identity,
    ...tunnel,
    source: "endpoint",
  }));
}
