// SPDX-License-Identifier: Apache-2.0

export type HealthLevel = "starting" | "ok" | "degraded" | "stopped";

/** How one named part of the program is doing: a line of `weft status`. */
export interface HealthRow {
  readonly name: string;
  readonly level: HealthLevel;
  readonly message: string;
  /** When the level or the message last changed, milliseconds since the epoch. */
  readonly sinceMs: number;
}

export interface Health {
  /** Sets the row of that name; the same level and message again change nothing. */
  set(name: string, level: HealthLevel, message: string): void;
  remove(name: string): void;
  /** By name. */
  rows(): HealthRow[];
  /** "degraded" when any part is, else "starting" when any part is, else "ok". */
  level(): HealthLevel;
  /** Calls back for each row that changed; undefined: it was removed. Returns what ends that. */
  onChange(listener: (name: string, row: HealthRow | undefined) => void): () => void;
}

export function createHealth(now: () => number = Date.now): Health {
  const rows = new Map<string, HealthRow>();
  const listeners = new Set<(name: string, row: HealthRow | undefined) => void>();
  return {
    set(name, level, message) {
      const before = rows.get(name);
      if (before?.level === level && before.message === message) return;
      const row = { name, level, message, sinceMs: now() };
      rows.set(name, row);
      for (const listener of listeners) listener(name, row);
    },
    remove(name) {
      if (!rows.delete(name)) return;
      for (const listener of listeners) listener(name, undefined);
    },
    rows: () => [...rows.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    level() {
      let worst: HealthLevel = "ok";
      for (const { level } of rows.values()) {
        if (level === "degraded") return "degraded";
        if (level === "starting") worst = "starting";
      }
      return worst;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
