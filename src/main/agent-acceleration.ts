// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
import type { AgentConfig } from "#agent/config.ts";
import { openPodNetns } from "#cni/wiring.ts";
import { type AccelerationCounts, accelerationCounts, trustedSockets } from "#datapath/accelerate.ts";
import type { Endpoint } from "#endpoints/endpoint.ts";
import type { TypedMap } from "#kernel/bpf/typed-map.ts";
import { netnsCookie } from "#kernel/socket.ts";
import { errorText } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Address } from "#model/ip.ts";
import type { Table } from "#store/table.ts";
import type { NodeDatapath } from "./agent-datapath.ts";
import { hostProcOf } from "./agent-host.ts";
import type { AgentTables } from "./agent-tables.ts";

export interface AccelerationDeps {
  readonly config: Pick<AgentConfig, "acceleration" | "hostProc">;
  readonly tables: Pick<AgentTables, "endpoints">;
  readonly nodeDatapath: Pick<NodeDatapath, "datapath" | "accelerates" | "accelerationProblem">;
  readonly health: Health;
  readonly log: Logger;
}

/** Connections between pods of the node past the network, as the agent tells of them. */
export interface Acceleration extends Disposable {
  /** `off`, `annotated`, `all`, or `refused: ` and what the kernel lacks. */
  readonly setting: string;
  /** Undefined: it is off. */
  counts(): AccelerationCounts | undefined;
}

/** Tells the kernel whose connections may go past the network, as endpoints and their annotations come, change and go. */
export function startAcceleration(deps: AccelerationDeps): Acceleration {
  const { config, tables, nodeDatapath, health, log } = deps;
  const { datapath, accelerates, accelerationProblem: problem } = nodeDatapath;
  const mode = config.acceleration.sockmap;
  if (problem !== undefined) health.set("acceleration", "degraded", problem);
  if (!accelerates || mode === "off") {
    const setting = problem === undefined ? mode : `refused: ${problem}`;
    return { setting, counts: () => undefined, [Symbol.dispose]: () => {} };
  }
  const hostProc = hostProcOf(config);
  const stop = followEndpoints({
    endpoints: tables.endpoints,
    trusted: trustedSockets(datapath),
    takesPart: ({ sockmap }) => sockmap ?? mode === "all",
    cookieOf: ({ netns: path }) => {
      const netns = openPodNetns(path, hostProc);
      try {
        return netnsCookie({ netns });
      } finally {
        closeSync(netns);
      }
    },
    log,
  });
  return { setting: mode, counts: () => accelerationCounts(datapath), [Symbol.dispose]: stop };
}

export interface FollowDeps {
  readonly endpoints: Table<Endpoint>;
  readonly trusted: Pick<TypedMap<Address, bigint>, "get" | "set" | "delete"> & {
    entries(): Iterable<readonly [address: Address, cookie: bigint]>;
  };
  takesPart(endpoint: Endpoint): boolean;
  /** Of the endpoint's network namespace. */
  cookieOf(endpoint: Endpoint): bigint;
  readonly log: Logger;
}

/**
 * Keeps the addresses of who takes part, each with its namespace. What an earlier agent left is put right at once. An endpoint whose namespace
 * cannot be opened has its network as every other, and no way past it. Returns what ends it; the kernel's map stays as it is then.
 */
export function followEndpoints(deps: FollowDeps): () => void {
  const { endpoints, trusted, log } = deps;
  const known = new Map<string, { readonly cookie: bigint; readonly addresses: readonly Address[] }>();
  const enter = (key: string, endpoint: Endpoint) => {
    try {
      const addresses = [endpoint.v4, endpoint.v6].filter((address) => address !== undefined);
      const cookie = deps.cookieOf(endpoint);
      for (const address of addresses) trusted.set(address, cookie);
      known.set(key, { cookie, addresses });
    } catch (error) {
      log.warn({ endpoint: endpoint.id, error: errorText(error) }, "pod's connections are not accelerated");
    }
  };
  const leave = (key: string) => {
    const { cookie, addresses } = known.get(key) ?? { cookie: 0n, addresses: [] };
    // An address may be the next pod's by now.
    for (const address of addresses) if (trusted.get(address) === cookie) trusted.delete(address);
    known.delete(key);
  };
  const update = (keys: Iterable<string>) => {
    for (const key of keys) {
      const endpoint = endpoints.get(key);
      const takes = endpoint !== undefined && deps.takesPart(endpoint);
      if (takes && !known.has(key)) enter(key, endpoint);
      else if (!takes && known.has(key)) leave(key);
    }
  };
  update([...endpoints.all()].map(({ id }) => String(id)));
  const present = new Set([...known.values()].flatMap(({ addresses }) => addresses));
  for (const [address] of [...trusted.entries()]) if (!present.has(address)) trusted.delete(address);
  return endpoints.onCommit(update);
}
