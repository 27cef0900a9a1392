// SPDX-License-Identifier: Apache-2.0
import { styleText } from "node:util";
import { Command } from "commander";
import type { AgentStatus } from "#agent/api.ts";
import { agentGet } from "#agent/api-client.ts";
import type { AgentAddress, AgentChoice } from "#cli/agents.ts";
import { renderCluster } from "#cli/print/cluster.ts";
import { type OutputForm, outputForm, printObject } from "#cli/print/table.ts";
import { type ClusterChoice, chooseTarget } from "#cli/target.ts";
import { installedVersion } from "#cli/version.ts";
import type { KubeClient } from "#k8s/client.ts";
import { errorText } from "#lib/errors.ts";
import { takeSnapshot } from "#live/collect.ts";
import { clusterReport } from "#live/report.ts";
import { withAgentOptions } from "./inspect.ts";

type Report = AgentStatus | { readonly node: string; readonly ready: false; readonly error: string };

const clusterTimeoutMs = 60_000;

/** `weft status`: the state of a cluster, or of the agents on this machine; exit code 1 when something is wrong. */
export function statusCommand(): Command {
  const command = withAgentOptions(
    new Command("status").description(
      "state of the cluster: what is wrong first; nodes, agents, operator, relay",
    ),
  );
  command.action(async (options: AgentChoice & ClusterChoice & { output?: string }) => {
    const form = outputForm(options.output);
    const target = await chooseTarget(options);
    const well =
      target.kind === "local"
        ? await localStatus(target.agents, form)
        : await clusterStatus(target.client, options.node, form);
    if (!well) process.exitCode = 1;
  });
  return command;
}

async function clusterStatus(
  client: KubeClient,
  node: string | undefined,
  form: OutputForm,
): Promise<boolean> {
  using _client = client;
  const signal = AbortSignal.timeout(clusterTimeoutMs);
  const report = clusterReport(await takeSnapshot(client, { version: installedVersion(), node, signal }));
  const write = (text: string) => process.stdout.write(text);
  if (form === "json" || form === "yaml") printObject(report, form, write);
  else write(renderCluster(report, form === "wide"));
  return report.well;
}

async function localStatus(agents: readonly AgentAddress[], form: OutputForm): Promise<boolean> {
  const reports = await Promise.all(agents.map(askOne));
  if (form === "json" || form === "yaml") printObject(reports, form, (text) => process.stdout.write(text));
  else for (const report of reports) process.stdout.write(`${renderStatus(report)}\n`);
  return reports.every((report) => report.ready && report.health.every(({ ok }) => ok));
}

async function askOne(agent: AgentAddress): Promise<Report> {
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
