// SPDX-License-Identifier: Apache-2.0
// A containerd of one test's own: its folders, sockets and images lie in a temporary directory and go with it.
import { type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

export interface Containerd {
  /** Runs `ctr -n k8s.io ARGS` against it. */
  ctr(...args: string[]): SpawnSyncReturns<string>;
  /** Runs a command in a container of the image: its own network namespace with nothing in it, a root that cannot be written. */
  run(image: string, ...command: string[]): SpawnSyncReturns<string>;
  stop(): Promise<void>;
}

const startMs = 30_000;

export async function startContainerd(): Promise<Containerd> {
  const dir = mkdtempSync(join(tmpdir(), "weft-containerd-"));
  const socket = join(dir, "containerd.sock");
  writeFileSync(
    join(dir, "config.toml"),
    `version = 2
root = "${dir}/root"
state = "${dir}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "${socket}"
[ttrpc]
address = "${dir}/ttrpc.sock"
`,
  );
  const log = openSync(join(dir, "log"), "w");
  // It ends with this process, however that ends.
  const child = spawn(
    "setpriv",
    ["--pdeathsig", "KILL", "containerd", "--config", join(dir, "config.toml")],
    {
      stdio: ["ignore", log, log],
    },
  );
  const exited = once(child, "exit");
  const ctr = (...args: string[]) =>
    spawnSync("ctr", ["--address", socket, "-n", "k8s.io", ...args], { encoding: "utf8", timeout: 120_000 });
  const stop = async () => {
    child.kill("SIGTERM");
    await exited;
    rmSync(dir, { recursive: true, force: true });
  };
  const deadline = Date.now() + startMs;
  while (!existsSync(socket) || ctr("version").status !== 0) {
    if (Date.now() > deadline || child.exitCode !== null) {
      const said = readFileSync(join(dir, "log"), "utf8");
      await stop();
      throw new Error(`containerd did not start: ${said}`);
    }
    await pause(50);
  }
  let runs = 0;
  const run = (image: string, ...command: string[]) =>
    ctr("run", "--rm", "--read-only", "--snapshotter", "native", image, `run-${runs++}`, ...command);
  return { ctr, run, stop };
}
