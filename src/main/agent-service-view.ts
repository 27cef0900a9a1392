// SPDX-License-Identifier: Apache-2.0
import { dumpRows, type TableDump } from "#agent/api.ts";
import type { AgentConfig } from "#agent/config.ts";
import type { Address, Family } from "#model/ip.ts";
import { type BackendState, backendStates } from "#services/backend-states.ts";
import { hasAddress, placeOf } from "#services/controller.ts";
import { screened } from "#services/screen.ts";
import type { Frontend } from "#services/service.ts";
import { type Service, serviceKey } from "#services/table.ts";
import type { Column } from "#store/table.ts";
import type { AgentTables } from "./agent-tables.ts";

type Row = BackendState & { readonly row: Frontend; readonly problems: readonly string[] };

type Settings = Pick<AgentConfig, "services" | "xdp">;

const columnsUnder = ({ services, xdp }: Settings): readonly Column<Row>[] => [
  { name: "FRONTEND", of: ({ frontend }) => frontend },
  { name: "SERVICE", of: serviceKey },
  { name: "TYPE", of: ({ type }) => type },
  { name: "BACKEND", of: ({ backend }) => backend },
  { name: "ON", of: ({ on }) => on },
  { name: "STATE", of: ({ state }) => state },
  { name: "SHARE", of: ({ share }) => `${share}%` },
  { name: "REASON", of: ({ reason }) => reason },
  { name: "ALGORITHM", of: ({ row }) => row.algorithm ?? "random", wide: true },
  { name: "FORWARDING", of: ({ row }) => (row.dsr ? "dsr" : "snat"), wide: true },
  { name: "DISPATCH", of: ({ row }) => (row.dsr ? services.dsrDispatch : ""), wide: true },
  { name: "XDP", of: () => xdp.devices.join(","), wide: true },
  { name: "AFFINITY-SEC", of: ({ row }) => row.affinitySec ?? 0, wide: true },
  {
    name: "RANGES",
    of: ({ row }) => `${row.denyRanges ? "not " : ""}${(row.sourceRanges ?? []).join(",")}`,
    wide: true,
  },
  { name: "ELSEWHERE", of: ({ row }) => row.elsewhere === true, wide: true },
  { name: "PROBLEMS", of: ({ problems }) => problems.join("; "), wide: true },
];

/** Every endpoint of every service behind every frontend, with its state and why; made when asked. */
export function serviceBackendsView(
  tables: AgentTables,
  families: readonly Family[],
  settings: Settings,
): () => TableDump {
  const columns = columnsUnder(settings);
  return () => {
    const here = placeOf(tables.nodes, families);
    const isNode = (address: Address) => hasAddress(tables.nodes, address);
    const known = { services: tables.services, isNode };
    const rows = [...tables.services.all()].flatMap((service) => {
      const key = serviceKey(service);
      const { problems } = service;
      const frontends = [...tables.frontends.by("service", key)].filter(({ type }) => type !== "HostPort");
      const byKey = new Map(frontends.map((row) => [tables.frontends.keyOf(row), row]));
      const slices = screened([...tables.endpointSlices.by("service", key)], known);
      const states = backendStates(service, slices, frontends, here);
      const served = states.map((state): Row => ({ ...state, row: byKey.get(state.frontend)!, problems }));
      return [...served, ...lostBy(service, tables)];
    });
    return dumpRows("service-backends", columns, rows);
  };
}

/** Addresses and ports the service claims and somebody else has. */
function lostBy(service: Service, { frontends }: AgentTables): Row[] {
  const { namespace, name, problems } = service;
  return [...frontends.by("contested", serviceKey(service))].map((row): Row => {
    const lost = { backend: "", on: "", state: "lost", share: 0 } as const;
    const reason = `Service ${serviceKey(row)} is older and has this address and port`;
    const frontend = frontends.keyOf(row);
    return { frontend, namespace, name, type: row.type, ...lost, reason, row, problems };
  });
}
