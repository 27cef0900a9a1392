// SPDX-License-Identifier: Apache-2.0
/** What an administrator does beside the API server: `weft`, `helm`, `kubectl`, whole lines of the docs. */
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { WeftError } from "#lib/errors.ts";
import { type Cluster, clusterEnv } from "./cluster.ts";
import { type CommandResult, tryCommand } from "./command.ts";
import { inNamespace } from "./network.ts";

const root = join(import.meta.dirname, "../../..");

/** Runs a program in the checkout, with the cluster's kubeconfig, `weft` of this checkout on its path. Never throws for an exit code. */
export async function asAdministrator(
  cluster: Cluster,
  argv: readonly string[],
  timeoutMs = 240_000,
): Promise<CommandResult> {
  const bin = join(root, "build/kubernetes/bin");
  mkdirSync(bin, { recursive: true });
  rmSync(join(bin, "weft"), { force: true });
  symlinkSync(join(root, "weft"), join(bin, "weft"));
  const env = clusterEnv(cluster);
  return await tryCommand(inNamespace(cluster.layout.netns, argv), {
    env: { ...env, PATH: `${bin}:${env.PATH}`, NO_COLOR: "1" },
    cwd: root,
    timeoutMs,
  });
}

/** As {@link asAdministrator}, both outputs together. @throws WeftError E_COMMAND for another exit code than 0 */
export async function administratorOk(
  cluster: Cluster,
  argv: readonly string[],
  timeoutMs?: number,
): Promise<string> {
  const { code, stdout, stderr } = await asAdministrator(cluster, argv, timeoutMs);
  if (code !== 0)
    throw new WeftError("E_COMMAND", `${argv.join(" ")}: exit code ${code}: ${stdout}${stderr}`);
  return stdout + stderr;
}
