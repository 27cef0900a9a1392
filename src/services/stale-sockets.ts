// SPDX-License-Identifier: Apache-2.0
import { pause, systemClock } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import { endSockets, endWanted, type IsGone, type SocketEnderDeps } from "#services/end-sockets.ts";
import { type BackendTables, GoneBackends } from "#services/gone-backends.ts";
import { startController } from "#store/controller.ts";
import type { Reconciler } from "#store/reconciler.ts";
import type { Database } from "#store/table.ts";

export interface StaleSocketDeps extends SocketEnderDeps, BackendTables {
  readonly db: Database;
  /** Of the frontends. */
  readonly reconciler: Pick<Reconciler, "waitUntil">;
  /** Another than after a second: for tests. */
  readonly settleMs?: number;
  readonly health: Health;
}

/** The frontends follow what sources say within a turn or two, and a socket that connects is connected; there is no hurry. */
const aSecondMs = 1_000;

/**
 * A socket that a service led to a backend keeps it for life. When the backend goes nothing tells a connected UDP socket, and a
 * TCP connection waits for its own time-outs if the pod went without a word. They are told here, by ECONNABORTED: UDP as soon as
 * the service does not lead there any more, TCP when the service has forgotten the backend (it drains before) and no pod
 * has its address any more. Of a pod with its node's address the node lives on and answers itself: TCP is told when the node
 * is gone. Who has an address outside the cluster may live forever. What they connect to next is another backend.
 */
export function startStaleSockets(deps: StaleSocketDeps, signal: AbortSignal): AsyncDisposable {
  const { db, frontends, frontendIds, pods, nodes, health, log, settleMs = aSecondMs } = deps;
  const { snapshots } = db;
  const backends = new GoneBackends(deps);
  const ender = new Ender(deps, backends, signal);
  let first = true;
  /** Until every source has spoken itself: what was kept of the cluster may be older than what sockets were told, and ends none. */
  let waiting = false;
  /** Looks for what went while no agent ran, or none knew. */
  const sweep = () => ender.end(backends.isLost);
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
      const gone = backends.take(changes);
      if (snapshots?.held) waiting = true;
      else if (first) sweep();
      else if (!waiting) {
        if (gone.backends.size > 0)
          ender.end(({ frontend, backend }) => gone.backends.has(`${frontend} ${backend}`));
        if (gone.addresses.size > 0) ender.end(({ address }) => gone.addresses.has(address));
      }
      backends.forget(gone.addresses);
      first = false;
      return `${ender.ended} socket(s) told`;
    },
  });
  stack.use(controller);
  return stack;
}

/** Looks through the node's sockets, one look after the other. */
class Ender {
  readonly #deps: StaleSocketDeps;
  readonly #backends: GoneBackends;
  readonly #signal: AbortSignal;
  #work: Promise<void> = Promise.resolve();
  #ended = 0;

  constructor(deps: StaleSocketDeps, backends: GoneBackends, signal: AbortSignal) {
    this.#deps = deps;
    this.#backends = backends;
    this.#signal = signal;
  }

  /** Sockets, so far. */
  get ended(): number {
    return this.#ended;
  }

  /** Ends those that are gone and whose service leads there no more by then. */
  end(isGone: IsGone): void {
    this.#work = this.#work
      .then(() => this.#look(isGone))
      .catch((error: unknown) => {
        if (!this.#signal.aborted)
          this.#deps.log.warn({ error: errorText(error) }, "cannot look for sockets of gone backends");
      });
  }

  async #look(isGone: IsGone): Promise<void> {
    const { frontends, reconciler, settleMs = aSecondMs } = this.#deps;
    await reconciler.waitUntil(frontends.revision, this.#signal);
    const isKnown = this.#backends.leadsTo();
    const found = await endSockets(this.#deps, (socket) => !isKnown(socket) && isGone(socket), this.#signal);
    this.#ended += found.ended;
    if (found.missed.size === 0) return;
    await pause(settleMs, this.#signal);
    this.#ended += (await endWanted(this.#deps, found.missed, this.#signal)).ended;
  }
}
