// SPDX-License-Identifier: Apache-2.0
import { isLocalIdentity, ReservedIdentity, reservedNames } from "#model/identity.ts";
import { type Labels, labelText, parseLabels } from "#model/labels.ts";
import type { Database, WritableTable } from "#store/table.ts";
import type { Identity, IpcacheEntry } from "./identity.ts";

/** Every identity this node knows: reserved, cluster-wide (CiliumIdentity) and node-local (CIDR). Key: the number. */
export function identityTable(db: Database): WritableTable<Identity> {
  const table = db.table<Identity>({
    name: "identities",
    key: (row) => String(row.id),
    indexes: { labels: (row) => [labelText(row.labels)] },
    equal: (a, b) => labelText(a.labels) === labelText(b.labels),
    columns: [
      { name: "ID", of: (row) => row.id },
      { name: "SCOPE", of: (row) => scopeOf(row.id) },
      { name: "LABELS", of: (row) => labelText(row.labels) },
    ],
  });
  db.write((tx) => {
    for (const [id, name] of reservedNames) tx.put(table, { id, labels: reservedLabels(id, name) });
  });
  return table;
}

/** The identity of the API server is that of a node it runs on; one outside the cluster has a CIDR's. */
export function reservedLabels(id: number, name: string): Labels {
  const more = id === ReservedIdentity.kubeApiserver ? ["reserved:remote-node"] : [];
  return parseLabels([`reserved:${name}`, ...more]);
}

function scopeOf(id: number): string {
  if (reservedNames.has(id)) return "reserved";
  return isLocalIdentity(id) ? "node" : "cluster";
}

const ipcacheColumns = [
  { name: "PREFIX", of: (row: IpcacheEntry) => row.prefix },
  { name: "IDENTITY", of: (row: IpcacheEntry) => row.identity },
  { name: "TUNNEL", of: (row: IpcacheEntry) => row.tunnel ?? "" },
  { name: "SOURCE", of: (row: IpcacheEntry) => row.source },
];

function sameEntry(a: IpcacheEntry, b: IpcacheEntry): boolean {
  return a.identity === b.identity && a.tunnel === b.tunnel && a.source === b.source;
}

/** What each source says of a prefix; several may speak of the same one. */
export function ipcacheClaimTable(db: Database): WritableTable<IpcacheEntry> {
  return db.table<IpcacheEntry>({
    name: "ipcache-claims",
    key: claimKey,
    indexes: { prefix: (row) => [row.prefix] },
    equal: sameEntry,
    columns: ipcacheColumns,
  });
}

export function claimKey(row: IpcacheEntry): string {
  return `${row.source} ${row.prefix}`;
}

/** Desired content of the blocks map: prefixes that ipBlocks name, whoever has an address in them. */
export function blockTable(db: Database): WritableTable<IpcacheEntry> {
  return db.table<IpcacheEntry>({
    name: "blocks",
    key: (row) => row.prefix,
    equal: sameEntry,
    columns: [
      { name: "PREFIX", of: (row: IpcacheEntry) => row.prefix },
      { name: "IDENTITY", of: (row: IpcacheEntry) => row.identity },
    ],
  });
}

/** Desired content of the ipcache map: one entry a prefix. */
export function ipcacheTable(db: Database): WritableTable<IpcacheEntry> {
  return db.table<IpcacheEntry>({
    name: "ipcache",
    key: (row) => row.prefix,
    equal: sameEntry,
    columns: ipcacheColumns,
  });
}
