// SPDX-License-Identifier: Apache-2.0
/** The cgroups of a cluster: one tree per hierarchy of the machine, version 1 and 2, with a cgroup per node. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { WeftError } from "#lib/errors.ts";
import { until } from "./until.ts";

interface Hierarchy {
  readonly path: string;
  readonly version: 1 | 2;
  readonly cpu: boolean;
  readonly cpuset: boolean;
}

/** As many as eight processes have. */
const CPU_SHARES = 8 * 1024;

function hierarchies(): Hierarchy[] {
  return readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, , type]) => type === "cgroup" || type === "cgroup2")
    .map(([, path, type, options]) => ({
      path: path!,
      version: type === "cgroup2" ? 2 : 1,
      cpu: type === "cgroup" && options!.split(",").includes("cpu"),
      cpuset: options!.split(",").includes("cpuset"),
    }));
}

function unified(): string {
  const found = hierarchies().find((hierarchy) => hierarchy.version === 2);
  if (found) return found.path;
  throw new WeftError("E_CGROUP", "no cgroup2 hierarchy is mounted", { hint: "mount -t cgroup2 none DIR" });
}

/** Makes the cgroup `path` (`weft-k8s-dev/n1`) in every hierarchy. */
export function createCgroups(path: string): void {
  for (const hierarchy of hierarchies()) {
    let at = hierarchy.path;
    for (const part of path.split("/")) {
      at = join(at, part);
      mkdirSync(at, { recursive: true });
      // A version 1 group weighs as much as one process beside it: a cluster would starve on a machine that builds something.
      if (hierarchy.cpu) writeFileSync(join(at, "cpu.shares"), String(CPU_SHARES));
      // A cpuset is empty at first, and nothing can run in an empty one.
      if (!hierarchy.cpuset) continue;
      for (const name of ["cpuset.cpus", "cpuset.mems"]) {
        writeFileSync(join(at, name), readFileSync(join(hierarchy.path, name)));
      }
    }
  }
}

/** An argument list that joins the cgroup2 and then becomes `argv`. */
export function joinCgroup2(path: string, argv: readonly string[]): string[] {
  const file = join(unified(), path, "cgroup.procs");
  return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', file, ...argv];
}

/** Ends every process in the cgroup and below it and removes it from every hierarchy. */
export async function removeCgroups(path: string): Promise<void> {
  const dir = join(unified(), path);
  if (existsSync(dir)) {
    writeFileSync(join(dir, "cgroup.kill"), "1");
    const empty = () => /populated 0/.test(readFileSync(join(dir, "cgroup.events"), "utf8"));
    await until(`the processes of ${dir} to end`, 30_000, empty);
  }
  for (const hierarchy of hierarchies()) {
    await until(`${hierarchy.path}/${path} to empty`, 10_000, () => removeTree(join(hierarchy.path, path)));
  }
}

/** True when it is gone: the kernel may take a moment to let go of what has just died. */
function removeTree(dir: string): boolean {
  if (!existsSync(dir)) return true;
  try {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      if (entry.isDirectory() && !removeTree(join(dir, entry.name))) return false;
    }
    rmdirSync(dir);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EBUSY") return false;
    if (code === "ENOENT") return true;
    throw error;
  }
}
