// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const fileName = "05-weft.conflist";

/** Tells the container runtime that pods can be attached: its configuration appears only when that is true. */
export function writeCniConf(dir: string, socket: string): void {
  const conf = {
    // Runtimes before CNI 1.1 read the first and know no 1.1.0; newer ones take the highest of the list.
    cniVersion: "1.0.0",
    cniVersions: ["0.4.0", "1.0.0", "1.1.0"],
    name: "weft",
    plugins: [{ type: "weft-cni", socket }],
  };
  mkdirSync(dir, { recursive: true });
  // Hidden until whole: runtimes watch the directory and read what ends in .conflist.
  const temporary = join(dir, `.${fileName}.new`);
  writeFileSync(temporary, `${JSON.stringify(conf, null, 2)}\n`, { mode: 0o644 });
  renameSync(temporary, join(dir, fileName));
}
