// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import type { Grid } from "./print/table.ts";

/** Who asks: a pod, or somebody outside the cluster. */
export interface TraceFrom {
  readonly pod?: string;
  /** Absent: this one. */
  readonly node?: string | undefined;
  /** Node and device that answer for the address on the wire: `n2 eth0`. */
  readonly announced?: string;
}

/** What is asked for: a frontend, or those of a service. */
export type TraceTarget =
  | { readonly frontend: string }
  | { readonly service: string; readonly port: string | undefined };

/**
 * `10.96.0.10:53` is TCP; `10.96.0.10:53/udp`, `[fd00::a]:53/UDP`; `shop/cart` is every frontend of that service, `shop/cart:80`
 * those with that port.
 * @throws WeftError E_USAGE
 */
export function targetOf(text: string): TraceTarget {
  const named = /^([a-z0-9-]+\/[a-z0-9.-]+)(?::(\d{1,5}))?$/.exec(text);
  if (named) return { service: named[1]!, port: named[2] };
  const match = /^(\[[0-9a-fA-F:.]+\]|[0-9.]+):(\d{1,5})(?:\/(tcp|udp|sctp))?$/i.exec(text);
  if (!match)
    throw new WeftError("E_USAGE", `"${text}" is no address and port, and no service`, {
      hint: "10.96.0.10:80, 10.96.0.10:53/udp, [fd00::a]:80, shop/cart, shop/cart:80",
    });
  return { frontend: `${match[1]!.toLowerCase()}:${match[2]}/${(match[3] ?? "TCP").toUpperCase()}` };
}

/**
 * The frontends that are meant, each once.
 * @param grid the view `service-backends`
 * @throws WeftError E_NOT_FOUND when the service has none
 */
export function frontendsOf(grid: Grid, target: TraceTarget): readonly string[] {
  if ("frontend" in target) return [target.frontend];
  const at = (name: string) => grid.columns.findIndex((column) => column.name === name);
  const [frontend, service] = [at("FRONTEND"), at("SERVICE")];
  const keys = grid.rows
    .filter((row) => row[service] === target.service)
    .map((row) => String(row[frontend]).replace(/\/local$/, ""))
    .filter((key) => target.port === undefined || key.includes(`:${target.port}/`));
  if (keys.length > 0) return [...new Set(keys)];
  const port = target.port === undefined ? "" : ` at port ${target.port}`;
  throw new WeftError("E_NOT_FOUND", `no service "${target.service}" is served${port}`, {
    hint: "`weft service list` shows those that are; headless ones have no address to serve",
  });
}

/**
 * Which backends a connection to the frontend may get, by which rule and through which path, in words.
 * @param grid the view `service-backends` of the node that decides
 * @throws WeftError E_NOT_FOUND when no service has the address
 */
export function traceText(grid: Grid, frontend: string, from: TraceFrom): string {
  const at = (name: string) => grid.columns.findIndex((column) => column.name === name);
  const cell = (row: Grid["rows"][number], name: string) => String(row[at(name)] ?? "");
  const all = (key: string) => grid.rows.filter((row) => cell(row, "FRONTEND") === key);
  const of = (key: string) => all(key).filter((row) => cell(row, "STATE") !== "lost");
  const outside = from.pod === undefined ? of(`${frontend}/local`) : [];
  const rows = outside.length > 0 ? outside : of(frontend);
  const first = rows[0];
  if (!first)
    throw new WeftError("E_NOT_FOUND", `no service of ${nodeText(from)} has ${frontend}`, {
      hint: "`weft service list` shows those there are",
    });
  const type = cell(first, "TYPE");
  const lines = [`${frontend} is ${cell(first, "SERVICE")} (${type}), asked on ${nodeText(from)}`];
  for (const row of all(cell(first, "FRONTEND")))
    if (cell(row, "STATE") === "lost") lines.push(`claimed by ${cell(row, "SERVICE")} too, which is younger`);
  if (from.announced !== undefined) lines.push(`announced on the wire by ${from.announced}`);
  const ranges = cell(first, "RANGES");
  if (ranges !== "") lines.push(`who may ask: ${ranges}`);
  const dsr = cell(first, "FORWARDING") === "dsr" ? cell(first, "DISPATCH") || "option" : undefined;
  const loopback = /^(127\.|\[::1\])/.test(frontend);
  lines.push(
    `path: ${pathOf(type, from, { loopback, ranged: ranges !== "", dsr, xdp: cell(first, "XDP") })}`,
  );
  const used = rows.filter((row) => cell(row, "STATE") === "active");
  if (used.length === 0) {
    const silent = cell(first, "ELSEWHERE") === "true";
    lines.push(
      silent
        ? "nobody answers here: silence by packet, refused at the socket (there are backends elsewhere)"
        : "nobody answers: refused, or dropped where services.withoutBackends says so",
    );
  } else {
    const weighted = new Set(used.map((row) => cell(row, "SHARE"))).size > 1;
    const rule = {
      algorithm: cell(first, "ALGORITHM"),
      weighted,
      affinitySec: Number(cell(first, "AFFINITY-SEC")),
    };
    lines.push(`choice: ${choiceOf(rule, from)}`);
  }
  for (const row of used) {
    const why = cell(row, "REASON");
    lines.push(
      `  → ${cell(row, "BACKEND")} ${cell(row, "SHARE")}${onNode(cell(row, "ON"))}${why && ` (${why})`}`,
    );
  }
  for (const row of rows)
    if (cell(row, "STATE") !== "active" && cell(row, "BACKEND") !== "")
      lines.push(
        `  ✗ ${cell(row, "BACKEND")}${onNode(cell(row, "ON"))}: ${cell(row, "REASON")}${cell(row, "STATE") === "draining" ? "; what is open goes on" : ""}`,
      );
  return `${lines.join("\n")}\n`;
}

function nodeText({ node }: TraceFrom): string {
  return node === undefined ? "this node" : `node ${node}`;
}

function onNode(node: string): string {
  return node === "" ? "" : ` on ${node}`;
}

interface Ways {
  readonly loopback: boolean;
  /** Source ranges say who may ask. */
  readonly ranged: boolean;
  /** How a backend's node learns the address asked; undefined: the asked node translates both ways. */
  readonly dsr: string | undefined;
  /** Devices with the balancer at XDP, with commas. */
  readonly xdp: string;
}

function pathOf(type: string, from: TraceFrom, { loopback, ranged, dsr, xdp }: Ways): string {
  if (loopback)
    return from.pod === undefined
      ? "none from outside; the node's own processes: at the socket"
      : `none: the loopback of ${from.pod} is its own`;
  if (from.pod === undefined) {
    if (type === "ClusterIP")
      return "none from outside: dropped (IS_A_CLUSTERIP); the node's own processes: at the socket";
    const seen =
      dsr === undefined
        ? "the node's address"
        : `the client's address and answers past this node (dsr by ${dsr})`;
    const hook = xdp === "" ? "from_device" : `XDP on ${xdp} for a backend on another node, else from_device`;
    return `from outside: ${hook}, packet by packet; a backend on another node sees ${seen}`;
  }
  if (ranged) return `from_pod of ${from.pod}, packet by packet: its address decides`;
  return `at the socket of ${from.pod}: connect goes to the backend; what passes no socket hook: from_pod`;
}

interface Choice {
  readonly algorithm: string;
  /** Backends have shares of different size. */
  readonly weighted: boolean;
  readonly affinitySec: number;
}

function choiceOf({ algorithm, weighted, affinitySec }: Choice, from: TraceFrom): string {
  const hashed = algorithm === "maglev";
  const by = !hashed
    ? `by chance${weighted ? ", in these shares" : ""}`
    : from.pod === undefined
      ? "by the connection's hash (maglev), the same on every node"
      : "by hash (maglev) packet by packet; at the socket, where no port is known yet, by chance";
  return affinitySec > 0 ? `the client's last one within ${affinitySec} s, else ${by}` : by;
}
