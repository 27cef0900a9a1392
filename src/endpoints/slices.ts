// SPDX-License-Identifier: Apache-2.0
import type { Identity } from "#identities/identity.ts";
import type { KubeObject } from "#k8s/resource.ts";
import { isAddress } from "#model/ip.ts";
import { labelList } from "#model/labels.ts";
import type { Database, Table, WritableTable } from "#store/table.ts";
import { protocolNumber } from "./source.ts";
import type { ClusterEndpoint } from "./table.ts";

/** cilium.io/v2alpha1 CiliumEndpointSlice: endpoints of one namespace, as the operator put them together. */
export interface EndpointSliceObject extends KubeObject {
  readonly metadata: { readonly name: string };
  readonly namespace?: string;
  readonly endpoints?: readonly {
    readonly name?: string;
    /** The identity. */
    readonly id?: number;
    readonly networking?: {
      readonly addressing?: readonly { readonly ipv4?: string; readonly ipv6?: string }[];
      readonly node?: string;
    };
    readonly "named-ports"?: readonly {
      readonly name: string;
      readonly port: number;
      readonly protocol: string;
    }[];
  }[];
}

/** An endpoint as one slice has it. Its labels are those of its identity. */
export interface SlicedEndpoint {
  readonly slice: string;
  readonly endpoint: Omit<ClusterEndpoint, "labels" | "workload">;
}

/** Key: `<slice> <namespace>/<name>`. An endpoint that moves is in two slices for a while. */
export function slicedEndpointTable(db: Database): WritableTable<SlicedEndpoint> {
  return db.table<SlicedEndpoint>({
    name: "sliced-endpoints",
    key: (row) => `${row.slice} ${keyOf(row)}`,
    indexes: { endpoint: (row) => [keyOf(row)], identity: (row) => [String(row.endpoint.identity)] },
    equal: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    columns: [
      { name: "SLICE", of: (row) => row.slice },
      { name: "NAMESPACE", of: (row) => row.endpoint.namespace },
      { name: "NAME", of: (row) => row.endpoint.name },
      { name: "IDENTITY", of: (row) => row.endpoint.identity },
    ],
  });
}

function keyOf({ endpoint: { namespace, name } }: SlicedEndpoint): string {
  return `${namespace}/${name}`;
}

/** Endpoints without name or identity are left out. */
export function slicedEndpointRows({
  metadata,
  namespace = "",
  endpoints = [],
}: EndpointSliceObject): SlicedEndpoint[] {
  return endpoints.flatMap(({ name, id, networking, "named-ports": ports = [] }) => {
    if (!name || id === undefined) return [];
    const texts = (networking?.addressing ?? []).flatMap(({ ipv4, ipv6 }) => [ipv4 ?? "", ipv6 ?? ""]);
    const endpoint = {
      namespace,
      name,
      identity: id,
      addresses: texts.filter(isAddress),
      nodeAddress: networking?.node ?? "",
      namedPorts: ports.map((port) => ({
        name: port.name,
        port: port.port,
        proto: protocolNumber(port.protocol),
      })),
    };
    return [{ slice: metadata.name, endpoint }];
  });
}

export interface SliceJoinDeps {
  readonly db: Database;
  readonly sliced: Table<SlicedEndpoint>;
  readonly identities: Table<Identity>;
  readonly clusterEndpoints: WritableTable<ClusterEndpoint>;
}

/** Keeps the endpoints of the cluster equal to what the slices say, with their identities' labels. Runs inside the commits that bring the news. */
export function joinSlices({ db, sliced, identities, clusterEndpoints }: SliceJoinDeps): Disposable {
  const update = (keys: Iterable<string>) =>
    db.write((tx) => {
      for (const key of keys) {
        const rows = [...sliced.by("endpoint", key)];
        const first = rows.reduce<SlicedEndpoint | undefined>(
          (best, row) => (best && best.slice <= row.slice ? best : row),
          undefined,
        );
        if (!first) tx.delete(clusterEndpoints, key);
        else {
          const labels = identities.get(String(first.endpoint.identity))?.labels;
          tx.put(clusterEndpoints, { ...first.endpoint, labels: labels ? labelList(labels) : [] });
        }
      }
    });
  const source = clusterEndpoints.source("slices");
  update([...sliced.all()].map(keyOf));
  const stops = [
    sliced.onCommit((keys) => update([...keys].map((key) => key.slice(key.indexOf(" ") + 1)))),
    identities.onCommit((ids) => update([...ids].flatMap((id) => [...sliced.by("identity", id)].map(keyOf)))),
  ];
  void Promise.all([sliced.ready, identities.ready]).then(() => source.synced());
  return {
    [Symbol.dispose]: () => {
      for (const stop of stops) stop();
    },
  };
}
