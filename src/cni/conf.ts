// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FILE = "05-weft.conflist";
/** Name of the shim among the runtime's plugins. */
const PLUGIN = "weft-cni";

/** The network configuration list for a runtime whose plugins reach the agent at `socketPath`. */
export function cniConfList(socketPath: string): Record<string, unknown> {
  return { cniVersion: "1.1.0", name: "weft", plugins: [{ type: PLUGIN, socket: socketPath }] };
}

/**
 * Puts the configuration where the runtime looks. Its presence is what makes a node Ready: write it when pods can be
 * attached, not before. The file appears whole or not at all. Returns its path.
 */
export function installCniConf(dir: string, socketPath: string): string {
  mkdirSync(dir, { recursive: true });
  const path = join(dir, FILE);
  // The runtime reads every *.conflist: the name while it is written must not end so.
  writeFileSync(`${path}.new`, `${JSON.stringify(cniConfList(socketPath), null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
  return path;
}

/** Takes the configuration away. */
export function removeCniConf(dir: string): void {
  rmSync(join(dir, FILE), { force: true });
}
