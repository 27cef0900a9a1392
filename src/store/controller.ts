// SPDX-License-Identifier: Apache-2.0
import { errorText } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Changes, Table, Tracker } from "#store/table.ts";

/** Input tables by name, and what `run` gets for them. */
export type Inputs = Readonly<Record<string, Table<unknown>>>;
export type InputChanges<I extends Inputs> = {
  readonly [Name in keyof I]: I[Name] extends Table<infer V> ? Changes<V> : never;
};

export interface ControllerOptions<I extends Inputs> {
  /** Names it in health and log: `services/frontends`. */
  readonly name: string;
  readonly inputs: I;
  /** Sources of the tables it writes: synced after the first run, whose inputs are complete. */
  readonly outputs?: readonly { synced(): void }[];
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
  /**
   * Turns what changed into desired rows (by `db.write`), synchronously. The first call gets whole tables. A throw is a
   * fault of the program: it is reported, and that batch is not seen again.
   * @returns what the health line says, if anything
   */
  run(changes: InputChanges<I>): string | undefined;
}

/**
 * Runs a controller: not before every input is ready (desired rows made of half a picture would take away what works),
 * then once per turn of the event loop in which an input changed. There is no batch timer: a change costs no waiting.
 */
export function startController<I extends Inputs>(options: ControllerOptions<I>): AsyncDisposable {
  const { name, inputs, signal, health, log } = options;
  const trackers = new Map<string, Tracker<unknown>>();
  let scheduled: NodeJS.Immediate | undefined;
  let started = false;
  let stopped = false;

  const run = () => {
    scheduled = undefined;
    if (stopped) return;
    const changes: Record<string, Changes<unknown>> = {};
    for (const [input, tracker] of trackers) changes[input] = tracker.take();
    try {
      const message = options.run(changes as unknown as InputChanges<I>);
      health.set(name, "ok", message ?? "");
    } catch (thrown) {
      health.set(name, "degraded", errorText(thrown));
      log.error({ controller: name, err: thrown }, "controller failed on a batch");
    }
    if (!started) for (const output of options.outputs ?? []) output.synced();
    started = true;
  };
  const wake = () => {
    if (!stopped) scheduled ??= setImmediate(run);
  };
  const stop = () => {
    if (stopped) return;
    stopped = true;
    if (scheduled) clearImmediate(scheduled);
    for (const tracker of trackers.values()) tracker.close();
    health.set(name, "stopped", "");
  };

  health.set(name, "starting", "");
  signal.addEventListener("abort", stop, { once: true });
  const begin = async () => {
    await Promise.all(Object.values(inputs).map((table) => table.ready));
    if (stopped || signal.aborted) return;
    for (const [input, table] of Object.entries(inputs)) trackers.set(input, table.track(wake));
    wake();
  };
  void begin();
  return {
    async [Symbol.asyncDispose]() {
      signal.removeEventListener("abort", stop);
      stop();
    },
  };
}
