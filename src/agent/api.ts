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
  /** Kernel memory of all its maps. */
  readonly mapBytes?: number;
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
  /** The kernel's map, where that has another name. */
  readonly map?: string;
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
  /** What can be asked to be done, by name: what is posted → the answer. A WeftError is the asker's to read. */
  readonly actions?: Readonly<Record<string, (body: unknown) => Promise<unknown>>>;
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
 * The agent's local API: HTTP and JSON on a unix socket that only root can open.
 * `GET /v1/status`, `/v1/healthz`, `/v1/tables`, `/v1/db/NAME`, `/v1/bpf`, `/v1/bpf/NAME`, `/v1/view/NAME`; `POST /v1/NAME`: an action.
 * @throws WeftError E_LISTEN when the path is unfit or another agent serves there
 */
export async function startAgentApi(deps: AgentApiDeps): Promise<AsyncDisposable> {
  const server = createServer((request, response) => {
    void answer(deps, request).then(
      ({ status, body }) => send(response, status, body),
      (error: unknown) => {
        const { code, hint } = error instanceof WeftError ? error : { code: "E_INTERNAL", hint: undefined };
        send(response, code === "E_NOT_FOUND" ? 404 : 500, { code, message: errorText(error), hint });
      },
    );
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

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

async function answer(deps: AgentApiDeps, request: IncomingMessage): Promise<Answer> {
  if (request.method === "GET") return route(deps, request);
  const name = request.url?.startsWith("/v1/") ? request.url.slice("/v1/".length) : "";
  const { actions = {} } = deps;
  if (request.method !== "POST" || !Object.hasOwn(actions, name))
    return {
      status: 405,
      body: { code: "E_METHOD", message: `${request.method} ${request.url} is not served` },
    };
  return { status: 200, body: await actions[name]!(await readBody(request)) };
}

const mostBodyBytes = 16 * 2 ** 20;

async function readBody(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > mostBodyBytes)
      throw new WeftError("E_TOO_LONG", `what is asked has more than ${mostBodyBytes} bytes`);
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString());
  } catch (cause) {
    throw new WeftError("E_REQUEST", "what is asked is not JSON", { cause });
  }
}

function route(deps: AgentApiDeps, request: IncomingMessage): Answer {
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
      throw new WeftError("E_NOT_FOUND", `there is no table "${name}"`, {
        hint: "`weft db list` names those there are",
      });
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
