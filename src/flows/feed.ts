// SPDX-License-Identifier: Apache-2.0
import type { Address } from "#model/ip.ts";
import { type Labels, labelList } from "#model/labels.ts";
import type { Changes, Table } from "#store/table.ts";
import type { DirectoryUpdate, Party, PolicyOrigin, ServiceAddress, Update, Workload } from "./messages.ts";

/** What the feed reads of the agent's tables; rows may have more. */
export interface FlowTables {
  /** Pods of this node. */
  readonly endpoints: Table<EndpointRow>;
  /** What the API server says of this node's pods. */
  readonly pods: Table<PodRow>;
  /** Pods of the whole cluster. */
  readonly clusterEndpoints: Table<ClusterEndpointRow>;
  readonly identities: Table<{ readonly id: number; readonly labels: Labels }>;
  readonly frontends: Table<FrontendRow>;
  /** Numbers of frontends in the datapath. */
  readonly frontendIds: Table<FrontendIdRow>;
  readonly rules: Table<{ readonly id: number; readonly origins: readonly OriginRow[] }>;
  readonly nodes: Table<NodeRow>;
}

interface EndpointRow {
  readonly id: number;
  readonly namespace: string;
  readonly pod: string;
  readonly v4?: Address;
  readonly v6?: Address;
  readonly hostIfname: string;
  readonly hostIfindex: number;
}

interface PodRow {
  readonly namespace: string;
  readonly name: string;
  readonly workload?: Workload;
}

interface ClusterEndpointRow {
  readonly namespace: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly workload?: Workload;
}

interface FrontendRow {
  readonly namespace: string;
  readonly name: string;
  readonly address: Address;
  readonly port: number;
  readonly proto: number;
}

interface FrontendIdRow {
  readonly id: number;
  readonly namespace: string;
  readonly name: string;
}

interface OriginRow {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Place of the rule in the object. */
  readonly field?: string;
  readonly labels?: readonly string[];
  readonly log?: string;
  readonly source?: string;
  /** The rule's own name. */
  readonly rule?: string;
}

interface NodeRow {
  readonly name: string;
  readonly self: boolean;
  readonly addresses: readonly Address[];
  readonly labels: Labels;
}

export interface FeedOptions {
  readonly clusterName: string;
  /** Port every node's observer listens on; absent: peers are not named. */
  readonly observerPort: number | undefined;
  readonly signal: AbortSignal;
}

/** Tells the flows thread what the tables say, first all of it, then what changes, until the signal aborts. */
export async function feedDirectory(
  tables: FlowTables,
  post: (update: DirectoryUpdate) => void,
  options: FeedOptions,
): Promise<void> {
  const { signal } = options;
  const follow = async <V>(table: Table<V>, tell: (changes: Changes<V>) => void) => {
    for await (const changes of table.changes(signal)) tell(changes);
  };
  await Promise.all([
    follow(tables.endpoints, (changes) => {
      post({
        parties: partiesOf(
          podKeys(changes, ({ pod }) => pod),
          tables,
        ),
        interfaces: interfacesOf(changes),
      });
    }),
    ...[tables.clusterEndpoints, tables.pods].map((table) =>
      follow<PodRow>(table, (changes) =>
        post({
          parties: partiesOf(
            podKeys(changes, ({ name }) => name),
            tables,
          ),
        }),
      ),
    ),
    follow(tables.identities, (changes) => {
      post({
        identities: updateOf(changes, (_key, { id, labels }) => ({
          key: String(id),
          id,
          labels: labelList(labels),
        })),
      });
    }),
    follow(tables.frontends, (changes) => post({ services: updateOf(changes, serviceOf) })),
    follow(tables.frontendIds, (changes) => {
      post({
        frontends: updateOf(changes, (key, { id, namespace, name }) => ({ key, id, namespace, name })),
      });
    }),
    follow(tables.rules, (changes) => {
      post({
        rules: updateOf(changes, (_key, { id, origins }) => ({
          key: String(id),
          id,
          origins: policiesOf(origins),
        })),
      });
    }),
    follow(tables.nodes, (changes) => post(nodesOf(changes, options))),
  ]);
}

function updateOf<V, T>(changes: Changes<V>, make: (key: string, row: V) => T): Update<T> {
  const put: T[] = [];
  const gone: string[] = [];
  for (const [key, change] of changes) {
    if (change.kind === "put") put.push(make(key, change.row));
    else gone.push(key);
  }
  return { put, delete: gone };
}

function podKeys<V extends { readonly namespace: string }>(
  changes: Changes<V>,
  name: (row: V) => string,
): Set<string> {
  return new Set([...changes.values()].map(({ row }) => `${row.namespace}/${name(row)}`));
}

/** A pod of this node is in all three tables, one of another node in `clusterEndpoints` only. */
function partiesOf(keys: ReadonlySet<string>, tables: FlowTables): Update<Party> {
  const put: Party[] = [];
  const gone: string[] = [];
  for (const key of keys) {
    const [endpoint] = tables.endpoints.by("pod", key);
    const known = tables.clusterEndpoints.get(key);
    const workload = tables.pods.get(key)?.workload ?? known?.workload;
    if (!endpoint && !known) {
      gone.push(key);
      continue;
    }
    const own = [endpoint?.v4, endpoint?.v6].filter((address) => address !== undefined);
    put.push({
      key,
      namespace: endpoint?.namespace ?? known!.namespace,
      pod: endpoint?.pod ?? known!.name,
      addresses: endpoint ? own : known!.addresses,
      endpoint: endpoint?.id ?? 0,
      workloads: workload ? [workload] : [],
    });
  }
  return { put, delete: gone };
}

function interfacesOf(changes: Changes<EndpointRow>) {
  return updateOf(changes, (key, { hostIfindex, hostIfname }) => ({
    key,
    index: hostIfindex,
    name: hostIfname,
  }));
}

function serviceOf(key: string, { namespace, name, address, port, proto }: FrontendRow): ServiceAddress {
  return { key, namespace, name, address, port, proto };
}

/** Several rules of one policy are one origin to a flow. */
function policiesOf(origins: readonly OriginRow[]): PolicyOrigin[] {
  const policies = new Map<
    string,
    PolicyOrigin & Record<"fields" | "ruleNames" | "labels" | "log" | "sources", string[]>
  >();
  for (const { kind, namespace, name, uid, field, rule, source, labels = [], log } of origins) {
    const key = `${kind} ${namespace}/${name}`;
    const policy = policies.get(key) ?? { ...empty(), kind, namespace, name, uid };
    policies.set(key, policy);
    if (field !== undefined) policy.fields.push(field);
    if (rule !== undefined) policy.ruleNames.push(rule);
    if (source !== undefined) policy.sources.push(source);
    for (const label of labels) if (!policy.labels.includes(label)) policy.labels.push(label);
    if (log !== undefined && !policy.log.includes(log)) policy.log.push(log);
  }
  return [...policies.values()];
}

function empty() {
  const list = (): string[] => [];
  return { fields: list(), ruleNames: list(), sources: list(), labels: list(), log: list() };
}

function nodesOf(changes: Changes<NodeRow>, { clusterName, observerPort }: FeedOptions): DirectoryUpdate {
  const own = [...changes.values()].find(({ kind, row }) => kind === "put" && row.self);
  const peers = updateOf(changes, (key, { name, addresses }) => ({
    key,
    name: `${clusterName}/${name}`,
    address: addresses[0] === undefined ? "" : hostPort(addresses[0], observerPort ?? 0),
  }));
  return {
    ...(own && { nodeLabels: labelList(own.row.labels).map((label) => label.slice(label.indexOf(":") + 1)) }),
    ...(observerPort !== undefined && { peers }),
  };
}

function hostPort(address: Address, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
