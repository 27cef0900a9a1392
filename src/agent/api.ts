// SPDX-License-Identifier: Apache-2.0
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { errorText, WeftError } from "#lib/errors.ts";
import type { HealthLevel } from "#lib/health.ts";
import { listenOwnerOnly } from "#lib/unix-socket.ts";
import type { Column, Database, Table } from "#store/table.ts";

/** A table as it goes over the socket: cells by column, `wide` columns marked. */
export interface TableDump {
  readonly name: string;
  readonly columns: readonly { readonly name: string; readonly wide: boolean }[];
  readonly rows: readonly (readonly (string | number | boolean)[])[];
}

export interface AgentStatus {
  readonly node: string;
  readonly version: string;
  readonly pid: number;
  readonly ready: boolean;
  readonly uptimeSec: number;
  readonly rssBytes: number;
  /** What the agent is and does: routing, families, masquerade… */
  readonly settings: Readonly<Record<string, string>>;
  /** One line a component: `ok` or what is wrong. */
  readonly health: readonly AgentHealth[];
  readonly counts: Readonly<Record<string, number>>;
  /** How full the kernel's maps are, of those that refuse what does not fit. Names begin with that of `weft bpf NAME list`. */
  readonly maps?: readonly MapFill[];
}

export interface AgentHealth {
  readonly name: string;
  readonly ok: boolean;
  readonly text: string;
  readonly level?: HealthLevel;
  /** When it last changed, milliseconds since the epoch. */
  readonly sinceMs?: number;
}

export interface MapFill {
  readonly name: string;
  readonly entries: number;
  readonly maxEntries: number;
}

export interface AgentApiDeps {
  readonly socketPath: string;
  readonly db: Database;
  status(): AgentStatus;
  /** Reads a kernel map by the name the command uses. */
  readonly maps: Readonly<Record<string, () => TableDump>>;
  /** What is made of tables when asked. */
  readonly views?: Readonly<Record<string, () => TableDump>>;
}

/** Reads a table into its dump, rows in key order. */
function dumpTable<V>(table: Table<V>): TableDump {
  return dumpRows(table.name, table.columns, table.all());
}

export function dumpRows<V>(name: string, columns: readonly Column<V>[], rows: Iterable<V>): TableDump {
  return {
    name,
    columns: columns.map((column) => ({ name: column.name, wide: column.wide === true })),
    rows: [...rows].map((row) => columns.map((column) => column.of(row) ?? "")),
  };
}

/**
 * The agent's local API: HTTP and JSON on a unix socket that only root can open. Read-only.
 * `GET /v1/status`, `/v1/healthz`, `/v1/tables`, `/v1/db/NAME`, `/v1/bpf`, `/v1/bpf/NAME`, `/v1/view/NAME`.
 * @throws WeftError E_LISTEN when the path is unfit or another agent serves there
 */
export async function startAgentApi(deps: AgentApiDeps): Promise<AsyncDisposable> {
  const server = createServer((request, response) => {
    try {
      const answer = route(deps, request);
      send(response, answer.status, answer.body);
    } catch (error) {
      const code = error instanceof WeftError ? error.code : "E_INTERNAL";
      send(response, code === "E_NOT_FOUND" ? 404 : 500, { code, message: errorText(error) });
    }
  });
  await listenOwnerOnly(server, deps.socketPath);
  return {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const tableColumns: readonly Column<Table<unknown>>[] = [
  { name: "NAME", of: (table) => table.name },
  { name: "ROWS", of: (table) => table.size },
  { name: "REVISION", of: (table) => table.revision },
  { name: "READY", of: (table) => table.isReady },
];

function route(deps: AgentApiDeps, request: IncomingMessage): { status: number; body: unknown } {
  if (request.method !== "GET")
    return { status: 405, body: { code: "E_METHOD", message: "only GET is served" } };
  const [version, what, name = "", ...rest] = (request.url ?? "")
    .split("?")[0]!
    .split("/")
    .filter(Boolean)
    .map(decodeURIComponent);
  if (version === "v1" && rest.length === 0) {
    if (what === "status" && !name) return { status: 200, body: deps.status() };
    if (what === "healthz" && !name) {
      const ready = deps.status().ready;
      return { status: ready ? 200 : 503, body: { ready } };
    }
    if (what === "tables" && !name)
      return { status: 200, body: dumpRows("tables", tableColumns, deps.db.tables()) };
    if (what === "db") {
      const table = deps.db.find(name);
      if (table) return { status: 200, body: dumpTable(table) };
      throw new WeftError("E_NOT_FOUND", `there is no table "${name}"`);
    }
    if (what === "view") {
      if (deps.views && Object.hasOwn(deps.views, name)) return { status: 200, body: deps.views[name]!() };
      throw new WeftError("E_NOT_FOUND", `there is no view "${name}"`);
    }
    if (what === "bpf" && !name) return { status: 200, body: Object.keys(deps.maps) };
    if (what === "bpf") {
      if (Object.hasOwn(deps.maps, name)) return { status: 200, body: deps.maps[name]!() };
      throw new WeftError("E_NOT_FOUND", `there is no map "${name}"`);
    }
  }
  throw new WeftError("E_NOT_FOUND", `nothing is served at ${request.url}`);
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body, (_key, value: unknown) =>
    typeof value === "bigint" ? Number(value) : value,
  );
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${text}\n`);
}
