// SPDX-License-Identifier: Apache-2.0
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";

/** What a source said last: its objects by key, each with the rows made of it. */
export type SnapshotObjects = readonly (readonly [key: string, rows: readonly unknown[]])[];

export interface SnapshotOptions {
  /** Directory with a file a source; made when it is missing. */
  readonly dir: string;
  /** What rows look like: a snapshot of another format is not read. The program's version will do. */
  readonly format: string;
  readonly log: Logger;
  readonly clock?: Clock;
  /** How long a source waits for the real thing. Default 5 s. */
  readonly afterMs?: number;
  /** From a change to its being written; what comes meanwhile is written with it. Default 1 s. */
  readonly writeAfterMs?: number;
}

/** However long a snapshot takes to write, it is at most this share of the time. */
const leastPauses = 50;

/** Objects that become text at a time: a few milliseconds, then others get their turn. */
const objectsAtOnce = 250;

interface Writing {
  cancel(): void;
  /** What it writes is what there was then. */
  started: boolean;
  /** Something changed since. */
  again: boolean;
}

/**
 * What sources know, kept on disk for a start at which nobody can be asked. A source that starts from its snapshot *holds*: its tables count as
 * complete, and yet what they lack may exist, so nothing is taken out of the kernel until every source has spoken itself.
 */
export class Snapshots {
  readonly afterMs: number;
  readonly #options: SnapshotOptions;
  readonly #clock: Clock;
  readonly #held = new Set<string>();
  readonly #listeners = new Set<() => void>();
  readonly #writing = new Map<string, Writing>();
  readonly #running = new Set<Promise<void>>();
  /** A large one is written the more rarely. */
  readonly #restUntilMs = new Map<string, number>();
  #failed = false;
  #disposed = false;

  constructor(options: SnapshotOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.afterMs = options.afterMs ?? 5_000;
  }

  /** What was kept of a source; undefined: nothing that can be read. */
  load(source: string): SnapshotObjects | undefined {
    try {
      const { format, objects } = JSON.parse(readFileSync(this.#path(source), "utf8"), revive) as {
        format: string;
        objects: SnapshotObjects;
      };
      return format === this.#options.format && Array.isArray(objects) ? objects : undefined;
    } catch {
      return undefined;
    }
  }

  /** Says that a source has something new; `dump` is asked for all of it when it is written, some at a time: what it says may change meanwhile. */
  changed(source: string, dump: () => Iterable<SnapshotObjects[number]>): void {
    const pending = this.#writing.get(source);
    if (pending) {
      pending.again = pending.started;
      return;
    }
    const dueMs = Math.max(
      this.#options.writeAfterMs ?? 1_000,
      (this.#restUntilMs.get(source) ?? 0) - performance.now(),
    );
    const cancel = this.#clock.after(dueMs, () => {
      const writing = this.#writing.get(source)!;
      writing.started = true;
      const done = this.#write(source, dump()).then(() => {
        this.#running.delete(done);
        this.#writing.delete(source);
        if (writing.again && !this.#disposed) this.changed(source, dump);
      });
      this.#running.add(done);
    });
    this.#writing.set(source, { cancel, started: false, again: false });
  }

  /** Until what is being written now is on disk, or given up. */
  async written(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** A source goes on with its snapshot. */
  hold(source: string): void {
    if (this.#held.size === 0)
      this.#options.log.warn(
        {},
        "API server does not answer: going on with the cluster's state as it was kept",
      );
    this.#held.add(source);
  }

  /** A source has spoken itself. */
  release(source: string): void {
    if (!this.#held.delete(source) || this.#held.size > 0) return;
    this.#options.log.info({}, "API server answers again: what was kept is replaced");
    for (const listener of this.#listeners) listener();
  }

  /** Whether any source goes on with its snapshot. */
  get held(): boolean {
    return this.#held.size > 0;
  }

  /** Calls back when none does any more. Returns what ends that. */
  onReleased(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends the timers. What was not written yet is not: a killed program does not write it either. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const { cancel } of this.#writing.values()) cancel();
  }

  async #write(source: string, objects: Iterable<SnapshotObjects[number]>): Promise<void> {
    const { dir, format, log } = this.#options;
    const path = this.#path(source);
    let workMs = 0;
    let startMs = performance.now();
    let file: number | undefined;
    try {
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      file = openSync(`${path}.new`, "w", 0o600);
      writeFileSync(file, `{"format":${JSON.stringify(format)},"objects":[`);
      const left = objects[Symbol.iterator]();
      for (let first = true; ; first = false) {
        if (!first) {
          workMs += performance.now() - startMs;
          await new Promise((resolve) => setImmediate(resolve));
          startMs = performance.now();
          if (this.#disposed) {
            rmSync(`${path}.new`, { force: true });
            return;
          }
        }
        const some = take(left, objectsAtOnce);
        if (some.length === 0) break;
        const text = isPlain(some) ? JSON.stringify(some) : JSON.stringify(some, replace);
        writeFileSync(file, `${first ? "" : ","}${text.slice(1, -1)}`);
      }
      writeFileSync(file, "]}");
      workMs += performance.now() - startMs;
      // A file system that will not have an empty file after a crash begins to write the new one now, and that may wait for the disk.
      await rename(`${path}.new`, path);
      startMs = performance.now();
      this.#failed = false;
    } catch (error) {
      rmSync(`${path}.new`, { force: true });
      if (!this.#failed)
        log.warn(
          { dir, error: errorText(error) },
          "the cluster's state can't be kept for a start without API server",
        );
      this.#failed = true;
    } finally {
      if (file !== undefined) closeSync(file);
    }
    const nowMs = performance.now();
    workMs += nowMs - startMs;
    this.#restUntilMs.set(source, nowMs + workMs * leastPauses);
  }

  #path(source: string): string {
    return join(this.#options.dir, `${source.replace(/[^\w.-]/g, "_")}.json`);
  }
}

function take<T>(from: Iterator<T>, most: number): T[] {
  const some: T[] = [];
  while (some.length < most) {
    const { value, done } = from.next();
    if (done) break;
    some.push(value);
  }
  return some;
}

/** Whether it is JSON as it stands: most tables' rows are, and to write them without looking at each value takes half the time. */
function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return typeof value !== "bigint";
  if (Array.isArray(value)) return value.every(isPlain);
  if (value instanceof Map || value instanceof Set) return false;
  for (const key in value) if (!isPlain((value as Record<string, unknown>)[key])) return false;
  return true;
}

/** JSON has neither maps, sets nor integers of 64 bits. */
function replace(this: unknown, _key: string, value: unknown): unknown {
  if (value instanceof Map) return { $map: [...(value as Map<unknown, unknown>)] };
  if (value instanceof Set) return { $set: [...(value as Set<unknown>)] };
  return typeof value === "bigint" ? { $bigint: String(value) } : value;
}

function revive(_key: string, value: unknown): unknown {
  if (value === null || typeof value !== "object") return value;
  if ("$map" in value) return new Map(value.$map as [unknown, unknown][]);
  if ("$set" in value) return new Set(value.$set as unknown[]);
  return "$bigint" in value ? BigInt(value.$bigint as string) : value;
}
