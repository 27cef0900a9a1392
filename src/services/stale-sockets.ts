// SPDX-License-Identifier: Apache-2.0
import { pause, systemClock } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import { type Address, family, type Prefix, prefixBits, prefixOf } from "#model/ip.ts";
import type { Node } from "#nodes/node.ts";
import {
  endSockets,
  endWanted,
  type IsGone,
  type LedSocket,
  type SocketEnderDeps,
} from "#services/end-sockets.ts";
import { type Frontend, tupleText } from "#services/service.ts";
import type { FrontendId } from "#services/table.ts";
import { startController } from "#store/controller.ts";
import type { Reconciler } from "#store/reconciler.ts";
import type { Database, Table } from "#store/table.ts";

export interface StaleSocketDeps extends SocketEnderDeps {
  readonly db: Database;
  readonly frontends: Table<Frontend>;
  readonly frontendIds: Table<FrontendId>;
  /** The pods of all nodes that have an address of their own, with an index `address`. */
  readonly pods: Table<unknown>;
  /** With an index `address`. */
  readonly nodes: Table<Pick<Node, "podCidrs">>;
  /** Of the frontends. */
  readonly reconciler: Pick<Reconciler, "waitUntil">;
  /** Another than after a second: for tests. */
  readonly settleMs?: number;
  readonly health: Health;
}

const TCP = 6;
/** The frontends follow what sources say within a turn or two, and a socket that connects is connected; there is no hurry. */
const aSecondMs = 1_000;

interface Known {
  readonly id: number;
  readonly row: Frontend;
}

/**
 * A socket that a service led to a backend keeps it for life. When the backend goes nothing tells a connected UDP socket, and a
 * TCP connection waits for its own time-outs if the pod went without a word. They are told here, by ECONNABORTED: UDP as soon as
 * the service does not lead there any more, TCP when the service has forgotten the backend (it drains before) and no pod
 * has its address any more. Of a pod with its node's address the node lives on and answers itself: TCP is told when the node
 * is gone. Who has an address outside the cluster may live forever. What they connect to next is another backend.
 */
export function startStaleSockets(deps: StaleSocketDeps, signal: AbortSignal): AsyncDisposable {
  const { db, frontends, frontendIds, pods, nodes, reconciler, health, log, settleMs = aSecondMs } = deps;
  const { snapshots } = db;
  const known = new Map<string, Known>();
  /** Addresses that left a service while their pod or node is still there. */
  const leaving = new Set<Address>();
  const podCidrs = new PrefixSet();
  let ended = 0;
  let first = true;
  /** Until every source has spoken itself: what was kept of the cluster may be older than what sockets were told, and ends none. */
  let waiting = false;
  const has = (table: Table<unknown>, address: Address) =>
    !table.by("address", address)[Symbol.iterator]().next().done;
  const exists = (address: Address) => has(pods, address) || has(nodes, address);
  let work: Promise<void> = Promise.resolve();
  const look = async (isGone: IsGone) => {
    await reconciler.waitUntil(frontends.revision, signal);
    const now = new Map([...known.values()].map(({ id, row }) => [id, row]));
    const asked = new Map<number, ReadonlyMap<string, Address>>();
    const isKnown = ({ frontend, backend }: LedSocket) => {
      const backends = asked.get(frontend) ?? backendsOf(now.get(frontend));
      asked.set(frontend, backends);
      return backends.has(backend);
    };
    const found = await endSockets(deps, (socket) => !isKnown(socket) && isGone(socket), signal);
    ended += found.ended;
    if (found.missed.size === 0) return;
    await pause(settleMs, signal);
    ended += (await endWanted(deps, found.missed, signal)).ended;
  };
  const end = (isGone: IsGone) => {
    work = work
      .then(() => look(isGone))
      .catch((error: unknown) => {
        if (!signal.aborted)
          log.warn({ error: errorText(error) }, "cannot look for sockets of gone backends");
      });
  };
  /** Looks for what went while no agent ran, or none knew. */
  const sweep = () =>
    end(({ proto, address }) => {
      if (proto !== TCP) return true;
      if (!exists(address)) return podCidrs.covers(address);
      leaving.add(address);
      return false;
    });
  const noteChange = (key: string, gone: Set<string>) => {
    const before = known.get(key);
    const row = frontends.get(key);
    const id = [...frontendIds.by("frontend", key)][0]?.id ?? before?.id;
    if (before && before.row !== row) {
      const backends = backendsOf(row);
      for (const [backend, address] of backendsOf(before.row))
        if (!backends.has(backend)) {
          if (!backend.endsWith("/TCP")) gone.add(`${before.id} ${backend}`);
          else if (exists(address)) leaving.add(address);
          else if (podCidrs.covers(address)) gone.add(`${before.id} ${backend}`);
        }
    }
    if (row && id !== undefined) known.set(key, { id, row });
    else known.delete(key);
  };
  const stack = new AsyncDisposableStack();
  const stop = snapshots?.onReleased(() => {
    if (!waiting) return;
    stack.defer(
      systemClock.after(settleMs, () => {
        waiting = false;
        sweep();
      }),
    );
  });
  if (stop) stack.defer(stop);
  const controller = startController({
    name: "stale-sockets",
    inputs: { frontends, frontendIds, pods, nodes },
    signal,
    health,
    log,
    run(changes) {
      for (const { row } of changes.nodes.values()) for (const prefix of row.podCidrs) podCidrs.add(prefix);
      const concerned = new Set(changes.frontends.keys());
      for (const { row } of changes.frontendIds.values()) concerned.add(row.frontend);
      const gone = new Set<string>();
      for (const key of concerned) noteChange(key, gone);
      const vanished = new Set([...leaving].filter((address) => !exists(address)));
      if (snapshots?.held) waiting = true;
      else if (first) sweep();
      else if (!waiting) {
        if (gone.size > 0) end(({ frontend, backend }) => gone.has(`${frontend} ${backend}`));
        if (vanished.size > 0) end(({ address }) => vanished.has(address));
      }
      for (const address of vanished) leaving.delete(address);
      first = false;
      return `${ended} socket(s) told`;
    },
  });
  stack.use(controller);
  return stack;
}

/** TCP connections to one that drains go on. */
/** Whom a frontend's sockets may talk to, by {@link tupleText}. */
function backendsOf(row: Frontend | undefined): ReadonlyMap<string, Address> {
  if (!row) return new Map();
  const kept = row.proto === TCP ? [...row.backends, ...(row.draining ?? [])] : row.backends;
  return new Map(kept.map((backend) => [tupleText(backend), backend.address]));
}

/** Whose pods an address may be: pod CIDRs of all nodes there have been, for a node's pods may be known to go after it. */
class PrefixSet {
  readonly #prefixes = new Set<Prefix>();
  readonly #bits = { 4: new Set<number>(), 6: new Set<number>() };

  add(prefix: Prefix): void {
    this.#prefixes.add(prefix);
    this.#bits[family(prefix)].add(prefixBits(prefix));
  }

  covers(address: Address): boolean {
    return [...this.#bits[family(address)]].some((bits) => this.#prefixes.has(prefixOf(address, bits)));
  }
}
