// SPDX-License-Identifier: Apache-2.0
/** What a process uses of the machine. */
import { readdirSync, readFileSync } from "node:fs";

/** Resident set in MB (10^6 bytes). */
export function rssMb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return (Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) * 1024) / 1e6;
}

/** CPU time of a process and its threads so far, in units of 10 ms. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** CPU time of all that runs and ran in a cgroup2 directory: children count while they run. */
export function cgroupCpuSeconds(dir: string): number {
  return Number(/^usage_usec (\d+)$/m.exec(readFileSync(`${dir}/cpu.stat`, "utf8"))?.[1]) / 1e6;
}

/** Memory of all BPF maps a process has open, MB; a map open twice counts once. */
export function mapMemoryMb(pid: number): number {
  const maps = new Map<string, number>();
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    let text = "";
    try {
      text = readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8");
    } catch {
      // Closed meanwhile.
    }
    const id = /^map_id:\s+(\d+)$/m.exec(text)?.[1];
    if (id) maps.set(id, Number(/^memlock:\s+(\d+)$/m.exec(text)?.[1]));
  }
  return [...maps.values()].reduce((sum, bytes) => sum + bytes, 0) / 1e6;
}
