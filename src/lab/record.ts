// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { type LabShape, STATE_DIR, statePaths } from "./layout.ts";

/** What is known of the lab on this machine: written by its supervisor, read by every command. */
export interface LabRecord {
  readonly pid: number;
  /** Of the process, in clock ticks since boot: tells a later process with the same number. */
  readonly startTicks: number;
  readonly shape: LabShape;
  /** Address of the API server on the machine. */
  readonly api: string;
  /** Over all nodes: `127.0.0.1:4245`. */
  readonly observer?: string;
  /** Over all nodes: a URL. */
  readonly metrics?: string;
}

export function writeRecord(record: LabRecord): void {
  mkdirSync(STATE_DIR, { recursive: true, mode: 0o755 });
  const temporary = `${statePaths.record}.new`;
  writeFileSync(temporary, JSON.stringify(record));
  renameSync(temporary, statePaths.record);
}

/** undefined: there is no record, or not a readable one. */
export function readRecord(): LabRecord | undefined {
  try {
    return JSON.parse(readFileSync(statePaths.record, "utf8")) as LabRecord;
  } catch {
    return undefined;
  }
}

/** Field 22 of /proc/PID/stat, undefined when there is no such process. The name before it may hold blanks and brackets. */
export function processStartTicks(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : Number(fields[19]);
  } catch {
    return undefined;
  }
}

/** True while the process that wrote the record lives. */
export function isAlive(record: LabRecord): boolean {
  return processStartTicks(record.pid) === record.startTicks;
}
