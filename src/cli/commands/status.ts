// SPDX-License-Identifier: Apache-2.0
import { styleText } from "node:util";
import { Command } from "commander";
import type { AgentStatus } from "#agent/api.ts";
import { agentGet } from "#agent/api-client.ts";
import { type AgentChoice, findAgents } from "#cli/agents.ts";
import { outputForm, printObject } from "#cli/print/table.ts";
import { errorText } from "#lib/errors.ts";
import { withAgentOptions } from "./inspect.ts";

type Report = AgentStatus | { readonly node: string; readonly ready: false; readonly error: string };

/** `weft status`: one page over every agent; exit code 1 when one is not well. */
export function statusCommand(): Command {
  const command = withAgentOptions(
    new Command("status").description("state of the agents: ready, settings, health, counts"),
  );
  command.action(async (options: AgentChoice & { output?: string }) => {
    const form = outputForm(options.output);
    const reports = await Promise.all(findAgents(options).map(askOne));
    if (form === "json" || form === "yaml") printObject(reports, form, (text) => process.stdout.write(text));
    else for (const report of reports) process.stdout.write(`${renderStatus(report)}\n`);
    if (reports.some((report) => !report.ready || ("health" in report && report.health.some((h) => !h.ok))))
      process.exitCode = 1;
  });
  return command;
}

async function askOne(agent: { node: string; socket: string }): Promise<Report> {
  try {
    return await agentGet<AgentStatus>(agent.socket, "/v1/status", AbortSignal.timeout(10_000));
  } catch (error) {
    return { node: agent.node, ready: false, error: errorText(error) };
  }
}

function renderStatus(report: Report): string {
  const ok = (good: boolean, text: string) => styleText(good ? "green" : "red", text);
  if ("error" in report) return `Node ${report.node}: ${ok(false, "not reachable")}\n  ${report.error}\n`;
  const width = Math.max(16, ...report.health.map(({ name }) => name.length));
  const line = (name: string, text: string) => `  ${`${name}:`.padEnd(width + 2)}${text}`;
  const lines = [`Node ${report.node}: ${ok(report.ready, report.ready ? "ready" : "not ready")}`];
  lines.push(
    line(
      "Agent",
      `weft ${report.version}, pid ${report.pid}, up ${report.uptimeSec} s, ${Math.round(report.rssBytes / 1e6)} MB`,
    ),
  );
  lines.push(
    line(
      "Settings",
      Object.entries(report.settings)
        .map(([k, v]) => `${k} ${v}`)
        .join(", "),
    ),
  );
  lines.push(
    line(
      "Counts",
      Object.entries(report.counts)
        .map(([k, v]) => `${v} ${k}`)
        .join(", "),
    ),
  );
  for (const health of report.health) lines.push(line(health.name, ok(health.ok, health.text)));
  return `${lines.join("\n")}\n`;
}
