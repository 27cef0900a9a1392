// SPDX-License-Identifier: Apache-2.0
import type { Address } from "#model/ip.ts";
import type { Database, Table, WritableTable } from "#store/table.ts";
import { blockPortNames, type ReferencedPod } from "./named-blocks.ts";
import { PodPorts } from "./named-in-blocks.ts";
import {
  plainRules,
  type Referenced,
  type ReferencedNode,
  type ReferencedService,
  refersTo,
} from "./references.ts";
import type { Reference } from "./rule.ts";
import type { CidrGroup, PolicyRow } from "./table.ts";

/** A part of a Service's endpoints. */
export interface ReferencedSlice {
  /** `namespace/name` of the Service. */
  readonly service: string;
  readonly endpoints: readonly { readonly address: Address }[];
}

export interface JoinReferencesDeps {
  readonly db: Database;
  /** As their objects say it. */
  readonly written: Table<PolicyRow>;
  readonly cidrGroups: Table<CidrGroup>;
  readonly services: Table<ReferencedService>;
  readonly nodes: Table<ReferencedNode>;
  /** Index `service`: `namespace/name`. */
  readonly endpointSlices: Table<ReferencedSlice>;
  readonly pods: Table<ReferencedPod>;
  /** Written: with peers in the place of references. */
  readonly policies: WritableTable<PolicyRow>;
}

/**
 * Keeps `policies` equal to the written ones with peers in the place of references. Runs inside the commits that bring the news; a group, a
 * Service or a node touches only the policies that refer to it.
 */
export function joinReferences(deps: JoinReferencesDeps): Disposable {
  const { db, written, cidrGroups, services, nodes, endpointSlices, pods, policies } = deps;
  const referring = new Map<string, readonly Reference[]>();
  const naming = new PodPorts(pods);
  const known: Referenced = {
    cidrGroups: () => cidrGroups.all(),
    services: () => services.all(),
    nodes: () => nodes.all(),
    pods: () => pods.all(),
    addressesOf: ({ namespace, name }) =>
      [...endpointSlices.by("service", `${namespace}/${name}`)].flatMap(({ endpoints }) =>
        endpoints.map(({ address }) => address),
      ),
  };
  const update = (keys: Iterable<string>) =>
    db.write((tx) => {
      for (const key of keys) {
        const row = written.get(key);
        const references = row?.rules.flatMap((rule) => rule.references ?? []) ?? [];
        if (references.length > 0) referring.set(key, references);
        else referring.delete(key);
        const names = naming.set(key, row?.rules.flatMap(blockPortNames) ?? []);
        if (!row) tx.delete(policies, key);
        else tx.put(policies, references.length > 0 || names ? plainRow(row, known, policies.get(key)) : row);
      }
    });
  const touched = (test: (reference: Reference) => boolean) => {
    const keys = [...referring].filter(([, references]) => references.some(test)).map(([key]) => key);
    if (keys.length > 0) update(keys);
  };
  const stops = [
    written.onCommit(update),
    follow(cidrGroups, (groups) =>
      touched((reference) => groups.some((group) => refersTo(reference, "cidr-group", group))),
    ),
    follow(services, (changed) =>
      touched((reference) => changed.some((service) => refersTo(reference, "service", service))),
    ),
    follow(nodes, (changed) =>
      touched((reference) => changed.some((node) => refersTo(reference, "node", node))),
    ),
    pods.onCommit((keys) => {
      if (naming.changed(keys)) update(naming.policies());
    }),
    follow(endpointSlices, (slices) => {
      const changed = slices.flatMap(({ service }) => services.get(service) ?? []).filter(isWritten);
      touched((reference) => changed.some((service) => refersTo(reference, "service", service)));
    }),
  ];
  update([...written.all()].map((row) => written.keyOf(row)));
  const source = policies.source("references");
  // Without what they refer to, policies would deny what they allow.
  void Promise.all(
    [written, cidrGroups, services, nodes, endpointSlices, pods].map(({ ready }) => ready),
  ).then(() => source.synced());
  return {
    [Symbol.dispose]: () => {
      for (const stop of stops) stop();
    },
  };
}

/** Its EndpointSlices matter: of a Service with selector, the pods' labels do. */
function isWritten({ selector }: ReferencedService): boolean {
  return selector === undefined;
}

/** Calls back with the rows that changed, as they were and as they are. Nothing is kept twice: rows are never changed in place. */
function follow<V>(table: Table<V>, tell: (rows: readonly V[]) => void): () => void {
  const rows = new Map<string, V>();
  for (const row of table.all()) rows.set(table.keyOf(row), row);
  return table.onCommit((keys) => {
    const changed: V[] = [];
    for (const key of keys) {
      const [before, now] = [rows.get(key), table.get(key)];
      if (now === undefined) rows.delete(key);
      else rows.set(key, now);
      changed.push(...[before, now].filter((row) => row !== undefined));
    }
    tell(changed);
  });
}

/** The row as it was when nothing of it changed, so that nobody resolves it again. */
function plainRow(row: PolicyRow, known: Referenced, before: PolicyRow | undefined): PolicyRow {
  const { rules, warnings: missing } = plainRules(row.rules, known);
  const warnings = [...(row.warnings ?? []), ...missing];
  const now: PolicyRow = { ...row, rules, ...(warnings.length > 0 && { warnings }) };
  return before && JSON.stringify(before) === JSON.stringify(now) ? before : now;
}
