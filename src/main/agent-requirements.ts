// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "#agent/config.ts";
import { checkRequirements, type Requirement } from "#datapath/requirements.ts";
import { WeftError } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { findSysctls } from "./agent-host.ts";
import { familiesOf } from "./agent-settings.ts";

function requirementsOf(config: AgentConfig): Requirement[] {
  findSysctls(config);
  return checkRequirements({ families: familiesOf(config), tunnel: config.routing === "tunnel" });
}

/** Says what this node lacks, a line each. @throws WeftError E_REQUIREMENTS when an agent cannot work without it */
export function requireNode(config: AgentConfig, log: Logger): void {
  const lacking = requirementsOf(config).filter(({ problem }) => problem !== undefined);
  for (const { what, problem, hint, fatal } of lacking)
    log[fatal ? "error" : "warn"]({ what, problem, hint }, "this node lacks something");
  const fatal = lacking.filter((requirement) => requirement.fatal);
  if (fatal.length === 0) return;
  const list = fatal.map(({ what, problem }) => `${what} (${problem})`).join("; ");
  throw new WeftError("E_REQUIREMENTS", `this node cannot run Weft: ${list}`, {
    hint: "`weft-agent probe` lists everything that is needed",
  });
}

/** `weft-agent probe`: a line for each thing that is needed. False when an agent cannot run here. */
export function probeNode(config: AgentConfig, print: (line: string) => void): boolean {
  const found = requirementsOf(config);
  for (const { what, problem, hint, fatal } of found) {
    if (problem === undefined) print(`ok       ${what}`);
    else print(`${fatal ? "MISSING " : "warning "} ${what}: ${problem}; ${hint}`);
  }
  return !found.some(({ problem, fatal }) => fatal && problem !== undefined);
}
