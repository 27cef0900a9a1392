// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { cgroupOf, killCgroup } from "#kernel/cgroup.ts";
import { type LabNodeConfig, runLabNode } from "#lab/kubelet/run.ts";
import { errorText } from "#lib/errors.ts";
import { createLogger } from "#lib/log.ts";

/** One node of the lab: kubelet and stand-in, in the node's network namespace and cgroup. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { config: { type: "string" } } });
  const log = createLogger("lab-node");
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stop.abort());
  // Our stdin is the supervisor's pipe. When it ends without a word, the lab is dead, and so is this node: agent, pods and we.
  process.stdin.resume();
  process.stdin.once("close", () => {
    if (!stop.signal.aborted) killCgroup(dirname(cgroupOf("self")));
  });
  try {
    await runLabNode(JSON.parse(readFileSync(values.config ?? "", "utf8")) as LabNodeConfig, {
      log,
      signal: stop.signal,
    });
  } catch (error) {
    log.fatal({ err: errorText(error) }, "node failed");
    process.exit(1);
  }
  process.exit(0);
}

await main();
