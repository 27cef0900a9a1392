// SPDX-License-Identifier: Apache-2.0
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { dumpRows, type TableDump } from "#agent/api.ts";
import { readOwnAddresses } from "#egress/own-addresses.ts";
import { type Address, hostPrefix, parseAddress } from "#model/ip.ts";
import type { PrefilterResult } from "#prefilter/change.ts";
import { addressIn } from "#prefilter/cidrs.ts";
import { linkLocal, type Needed } from "#prefilter/lock-out.ts";
import type { PrefilterRow } from "#prefilter/prefilter.ts";
import type { ControlDeps } from "./control-context.ts";

type Deps = Pick<
  ControlDeps,
  "config" | "tables" | "node" | "nodeDatapath" | "netlink" | "apiServer" | "health"
>;

/** Nodes come and go; whom the list cuts off is told that much later. */
const tellEveryMs = 5_000;
const resolveMs = 2_000;

/** `weft prefilter` as the local API serves it, and its health. */
export function startPrefilter(deps: Deps): Disposable & {
  view(): TableDump;
  change(body: unknown): Promise<PrefilterResult>;
} {
  const { prefilter } = deps.nodeDatapath;
  const tell = () => prefilter.tell(deps.health, neededBy(deps));
  tell();
  const timer = setInterval(() => {
    if (prefilter.size > 0) tell();
  }, tellEveryMs);
  timer.unref();
  return {
    view: () => dumpRows("prefilter", columns, prefilter.rows()),
    async change(body) {
      const servers = await addressesOf(deps.apiServer.hostname);
      const result = prefilter.change(body, [...neededBy(deps, servers), ...askerOf(body)]);
      tell();
      return result;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

const columns = [
  { name: "CIDR", of: (row: PrefilterRow) => row.cidr },
  { name: "PACKETS", of: (row: PrefilterRow) => row.packets },
  { name: "BYTES", of: (row: PrefilterRow) => row.bytes },
  { name: "ADDED", of: (row: PrefilterRow) => timeText(row.addedSec) },
  { name: "COMMENT", of: (row: PrefilterRow) => row.comment },
];

function timeText(sec: number): string {
  return sec === 0 ? "" : new Date(sec * 1_000).toISOString().replace(".000Z", "Z");
}

/** Whom this node has to hear: itself, other nodes and, by routes of the network, their pods, API servers, neighbours. */
function neededBy(deps: Deps, servers: readonly Address[] = []): Needed[] {
  const { config, tables, node, netlink, apiServer } = deps;
  const one = (who: string) => (address: Address) => ({ prefix: hostPrefix(address), who });
  const own = new Set([...node.addresses, ...readOwnAddresses(netlink).map(({ address }) => address)]);
  const nodes = [...tables.nodes.all()].filter(({ self }) => !self);
  const api = new Set([
    ...[...tables.apiServers.all()].map(({ address }) => address),
    ...servers,
    ...(isIP(bare(apiServer.hostname)) ? [parseAddress(bare(apiServer.hostname))] : []),
  ]);
  return [
    linkLocal,
    ...[...own].map(one("this node")),
    ...nodes.flatMap(({ name, addresses }) => addresses.map(one(`node ${name}`))),
    ...(config.routing === "native"
      ? nodes.flatMap(({ name, podCidrs }) =>
          podCidrs.map((prefix) => ({ prefix, who: `pods of node ${name}` })),
        )
      : []),
    ...[...api].map(one("the API server")),
  ];
}

/** Whoever asks over a remote login should be able to ask again. */
function askerOf(body: unknown): Needed[] {
  const client = (body as { readonly client?: string } | null)?.client;
  const address = addressIn(typeof client === "string" ? client : undefined);
  return address === undefined ? [] : [{ prefix: hostPrefix(address), who: "your own login" }];
}

/** `[::1]` of a URL. */
function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}

/** A name that nobody resolves protects nobody; the servers that the cluster names are known without it. */
async function addressesOf(hostname: string): Promise<Address[]> {
  if (isIP(bare(hostname))) return [];
  const late = new Promise<never[]>((resolve) => setTimeout(resolve, resolveMs, []).unref());
  const found = await Promise.race([lookup(hostname, { all: true }), late]).catch(() => []);
  return found.map(({ address }) => parseAddress(address));
}
