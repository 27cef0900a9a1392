// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const fileName = "05-weft.conflist";

/** Where the runtime's plugin finds its agent, and where it notes deletions an agent that is away has to make up for. */
export interface CniConfTarget {
  readonly socket: string;
  readonly deletions: string;
}

/**
 * Tells the container runtime that pods can be attached: its configuration appears only when that is true. Runtimes that know CNI 1.1 take the
 * newest of `cniVersions` that they speak, older ones read `cniVersion` alone.
 */
export function writeCniConf(dir: string, { socket, deletions }: CniConfTarget): void {
  const conf = {
    cniVersion: "1.0.0",
    cniVersions: ["0.4.0", "1.0.0", "1.1.0"],
    name: "weft",
    plugins: [{ type: "weft-cni", socket, deletions }],
  };
  const text = `${JSON.stringify(conf, null, 2)}\n`;
  const path = join(dir, fileName);
  mkdirSync(dir, { recursive: true });
  // Runtimes watch the directory: a file that says the same is left as it is.
  if (existsSync(path) && readFileSync(path, "utf8") === text) return;
  // Hidden until whole: runtimes read what ends in .conflist.
  const temporary = join(dir, `.${fileName}.new`);
  writeFileSync(temporary, text, { mode: 0o644 });
  renameSync(temporary, path);
}

/** Takes the configuration back; true when there was one. */
export function removeCniConf(dir: string): boolean {
  const path = join(dir, fileName);
  const there = existsSync(path);
  rmSync(path, { force: true });
  return there;
}
