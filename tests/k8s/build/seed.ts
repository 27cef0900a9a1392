// SPDX-License-Identifier: Apache-2.0

import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WeftError } from "#lib/errors.ts";
import { command, tryCommand } from "../cluster/command.ts";
import { until } from "../cluster/until.ts";

/**
 * Imports image archives once into a containerd root at `dir`; nodes start from it by hard links. It appears whole or not at all.
 * @throws WeftError E_IMAGE when containerd does not start; E_COMMAND when it refuses an archive
 */
export async function writeSeed(archives: readonly string[], dir: string): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), "weft-seed-"));
  const root = `${dir}.${process.pid}`;
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  const socket = join(work, "containerd.sock");
  const config = `version = 2\nroot = "${root}"\nstate = "${work}/state"\n[grpc]\naddress = "${socket}"\n`;
  writeFileSync(join(work, "config.toml"), config);
  const log = openSync(join(work, "log"), "w");
  const containerd = spawn("containerd", ["--config", join(work, "config.toml")], {
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  const ended = once(containerd, "exit");
  try {
    await until("containerd to answer", 30_000, async () => {
      if (containerd.exitCode !== null) {
        throw new WeftError(
          "E_IMAGE",
          `containerd ended\n${readFileSync(join(work, "log"), "utf8").slice(-2000)}`,
        );
      }
      return (await tryCommand(["ctr", "-a", socket, "version"])).code === 0;
    });
    for (const archive of archives) {
      await command(["ctr", "-a", socket, "-n", "k8s.io", "images", "import", archive]);
    }
  } finally {
    containerd.kill("SIGTERM");
    await ended;
    rmSync(work, { recursive: true, force: true });
  }
  renameSync(root, dir);
}
