// SPDX-License-Identifier: Apache-2.0
import type { LbSock } from "#datapath/layouts/lb-sock.ts";
import type { LbSockKey } from "#datapath/layouts/lb-sock-key.ts";
import type { TypedMap } from "#kernel/bpf/typed-map.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { destroyUdpSocket, listUdpSockets } from "#kernel/netlink/sock-diag.ts";
import { systemClock } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { type Frontend, tupleText } from "#services/service.ts";
import type { FrontendId } from "#services/table.ts";
import { startController } from "#store/controller.ts";
import type { Reconciler } from "#store/reconciler.ts";
import type { Database, Table } from "#store/table.ts";

export interface StaleSocketDeps {
  readonly db: Database;
  readonly frontends: Table<Frontend>;
  readonly frontendIds: Table<FrontendId>;
  /** Of the frontends. */
  readonly reconciler: Pick<Reconciler, "waitUntil">;
  /** What sockets were told they talk to. */
  readonly socks: Pick<TypedMap<LbSockKey, LbSock>, "entries">;
  /** Paths of the pods' network namespaces; the node's own is looked at too. */
  namespaces(): Iterable<string>;
  readonly health: Health;
  readonly log: Logger;
}

const UDP = 17;
/** The frontends follow what sources say within a turn or two; there is no hurry. */
const settleMs = 1_000;

/**
 * A UDP socket that connected to a service keeps its backend for life: nothing tells it that the backend went. It is told
 * here, by ECONNABORTED, when the service does not lead there any more; what it sends next finds another backend. TCP
 * finds out by itself.
 */
export function startStaleSockets(deps: StaleSocketDeps, signal: AbortSignal): AsyncDisposable {
  const { db, frontends, frontendIds, reconciler, health, log } = deps;
  const { snapshots } = db;
  const known = new Map<string, { readonly id: number; readonly backends: ReadonlySet<string> }>();
  let ended = 0;
  let first = true;
  /** Until every source has spoken itself: what was kept of the cluster may be older than what sockets were told, and ends none. */
  let waiting = false;
  const end = (isGone: IsGone) => {
    const written = reconciler.waitUntil(frontends.revision, signal);
    written
      .then(() => {
        ended += endSockets(deps, isGone);
      })
      .catch((error: unknown) => {
        if (!signal.aborted)
          log.warn({ error: errorText(error) }, "cannot look for sockets of gone backends");
      });
  };
  /** Looks for what went while no agent ran, or none knew. */
  const sweep = () => {
    const now = new Map([...known.values()].map(({ id, backends }) => [id, backends]));
    end((frontend, backend) => !now.get(frontend)?.has(backend));
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
    inputs: { frontends, frontendIds },
    signal,
    health,
    log,
    run(changes) {
      const concerned = new Set(changes.frontends.keys());
      for (const { row } of changes.frontendIds.values()) concerned.add(row.frontend);
      const gone = new Set<string>();
      for (const key of concerned) {
        const before = known.get(key);
        const row = frontends.get(key);
        const id = [...frontendIds.by("frontend", key)][0]?.id ?? before?.id;
        const backends = new Set(row?.proto === UDP ? row.backends.map(tupleText) : []);
        for (const backend of before?.backends ?? [])
          if (!backends.has(backend)) gone.add(`${before!.id} ${backend}`);
        if (backends.size > 0 && id !== undefined) known.set(key, { id, backends });
        else known.delete(key);
      }
      if (snapshots?.held) waiting = true;
      else if (first) sweep();
      else if (!waiting && gone.size > 0) end((frontend, backend) => gone.has(`${frontend} ${backend}`));
      first = false;
      return `${ended} socket(s) told`;
    },
  });
  stack.use(controller);
  return stack;
}

type IsGone = (frontend: number, backend: string) => boolean;

/** @returns how many */
function endSockets({ socks, namespaces, log }: StaleSocketDeps, isGone: IsGone): number {
  const wanted = new Map<bigint, string>();
  for (const [{ cookie, addr, port, proto }, { frontend }] of socks.entries()) {
    const backend = proto === UDP ? tupleText({ address: addr, port, proto }) : "";
    if (backend && isGone(frontend, backend)) wanted.set(cookie, backend);
  }
  if (wanted.size === 0) return 0;
  let ended = 0;
  for (const netns of [undefined, ...namespaces()]) {
    try {
      using diag = openNetlink({ protocol: "diag", ...(netns !== undefined && { netns }) });
      for (const socket of listUdpSockets(diag)) {
        const backend = tupleText({ address: socket.peer, port: socket.peerPort, proto: UDP });
        if (wanted.get(socket.cookie) === backend && destroyUdpSocket(diag, socket)) ended++;
      }
    } catch (error) {
      // A pod that is just going.
      log.debug({ netns, error: errorText(error) }, "cannot look at a namespace's sockets");
    }
    if (ended === wanted.size) break;
  }
  if (ended > 0) log.info({ sockets: ended }, "UDP sockets told that their backend is gone");
  return ended;
}
