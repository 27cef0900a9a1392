// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { type AgentConfig, loadAgentConfig, parseAgentConfig } from "#agent/config.ts";
import { errorText, isAbort, WeftError } from "#lib/errors.ts";
import { createLogger } from "#lib/log.ts";
import { cleanNode } from "./agent-cleanup.ts";
import { probeNode } from "./agent-requirements.ts";
import { runAgent } from "./agent-run.ts";
import { installedVersion, programArguments } from "./program.ts";

const usage = `Usage: weft-agent [COMMAND] [--config FILE]

The network of one node: run as root on the node, one per node.

  (no command)   run until a signal
  probe          list what an agent needs of this node and what of it is missing
  cleanup        leave this node as it was before Weft; running pods lose their network

  --config FILE  its settings (default /etc/weft/agent.yaml)
  --version      print the version
  -h, --help     print this`;

async function main(): Promise<void> {
  const { values, positionals } = programArguments(usage, "/etc/weft/agent.yaml", true);
  if (values.version || values.help) {
    console.log(values.version ? installedVersion() : usage);
    return;
  }
  const [command = "run", ...more] = positionals;
  if (command === "run" && more.length === 0) return await runUntilStopped(values.config);
  // These two work where no agent ever ran, too.
  const text = existsSync(values.config) ? readFileSync(values.config, "utf8") : "";
  const config = () => parseAgentConfig(text, values.config, { NODE_NAME: hostname(), ...process.env });
  if (command === "probe" && more.length === 0) {
    process.exitCode = probeNode(config(), console.log) ? 0 : 1;
    return;
  }
  if (command === "cleanup" && more.length === 0) return await cleanup(config());
  console.error(usage);
  process.exitCode = 2;
}

async function cleanup(config: AgentConfig): Promise<void> {
  try {
    await cleanNode(config, console.log);
    console.log("this node is as it was before Weft");
  } catch (error) {
    const hint = error instanceof WeftError && error.hint ? ` (${error.hint})` : "";
    console.error(`${errorText(error)}${hint}`);
    process.exitCode = 1;
  }
}

async function runUntilStopped(file: string): Promise<void> {
  const log = createLogger("weft-agent");
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const)
    process.once(name, () => stop.abort(new WeftError("E_STOPPED", `stopped by ${name}`)));
  try {
    await runAgent(loadAgentConfig(file), log, stop.signal);
  } catch (error) {
    const code = error instanceof WeftError ? error.code : undefined;
    const hint = error instanceof WeftError ? error.hint : undefined;
    if (!stop.signal.aborted) {
      log.fatal({ error: errorText(error), hint, code }, "agent failed");
      process.exitCode = 1;
    } else if (code !== "E_STOPPED" && !isAbort(error)) {
      log.warn({ error: errorText(error), code }, "stopped, but not cleanly");
    }
  }
  // The last line of an agent that failed says why: it is what Kubernetes shows of it.
  if (stop.signal.aborted) log.info({}, "stopped");
  // A thread or socket of a start that failed half-way must not keep the process: whoever supervises it starts it anew.
  process.exit();
}

await main();
