// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from "node:timers/promises";
import { Command } from "commander";
import type { AgentStatus } from "#agent/api.ts";
import { agentGet } from "#agent/api-client.ts";
import type { AgentAddress, AgentChoice } from "#cli/agents.ts";
import { type AgentReport, renderAgentStatus } from "#cli/print/agent-status.ts";
import { renderCluster } from "#cli/print/cluster.ts";
import { type OutputForm, outputForm, printObject } from "#cli/print/table.ts";
import { type ClusterChoice, chooseTarget } from "#cli/target.ts";
import { installedVersion } from "#cli/version.ts";
import type { KubeClient } from "#k8s/client.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { takeSnapshot } from "#live/collect.ts";
import { clusterReport } from "#live/judge.ts";
import type { ClusterReport } from "#live/report.ts";
import { withAgentOptions } from "./inspect.ts";

interface StatusOptions extends AgentChoice, ClusterChoice {
  readonly output?: string;
  readonly wait?: boolean;
  readonly timeout: number;
}

const clusterTimeoutMs = 60_000;
const waitMs = 1_000;

/** `weft status`: the state of a cluster, or of the agents on this machine; exit code 1 when something is wrong. */
export function statusCommand(): Command {
  const command = withAgentOptions(
    new Command("status").description(
      "state of the cluster: what is wrong first; nodes, agents, operator, relay",
    ),
  );
  command
    .option("--wait", "wait until nothing is wrong with the cluster")
    .option("--timeout <sec>", "with --wait: how long", (text) => Number(text), 300);
  command.action(async (options: StatusOptions) => {
    const form = outputForm(options.output);
    if (!(options.timeout > 0)) throw new WeftError("E_USAGE", "--timeout is a number of seconds");
    const target = await chooseTarget(options);
    const well =
      target.kind === "local"
        ? await localStatus(target.agents, form)
        : await clusterStatus(target.client, options, form);
    if (!well) process.exitCode = 1;
  });
  return command;
}

async function clusterStatus(client: KubeClient, options: StatusOptions, form: OutputForm): Promise<boolean> {
  using _client = client;
  const report = options.wait ? await waitUntilWell(client, options) : await readReport(client, options);
  const write = (text: string) => process.stdout.write(text);
  if (form === "json" || form === "yaml") printObject(report, form, write);
  else write(renderCluster(report, form === "wide"));
  return report.well;
}

async function readReport(client: KubeClient, { node }: StatusOptions): Promise<ClusterReport> {
  const signal = AbortSignal.timeout(clusterTimeoutMs);
  return clusterReport(await takeSnapshot(client, { version: installedVersion(), node, signal }));
}

/** The first report without errors, or the last one when time is up; says on stderr what it waits for, when that changes. */
async function waitUntilWell(client: KubeClient, options: StatusOptions): Promise<ClusterReport> {
  const limit = AbortSignal.timeout(options.timeout * 1000);
  let told = "";
  for (;;) {
    const report = await readReport(client, options);
    if (report.well) return report;
    const [first] = report.problems;
    const text = `waiting: ${first?.about}: ${first?.text}`;
    if (text !== told) process.stderr.write(`${text}\n`);
    told = text;
    if (limit.aborted) return report;
    await delay(waitMs);
  }
}

async function localStatus(agents: readonly AgentAddress[], form: OutputForm): Promise<boolean> {
  const reports = await Promise.all(agents.map(askOne));
  const write = (text: string) => process.stdout.write(text);
  if (form === "json" || form === "yaml") printObject(reports, form, write);
  else for (const report of reports) write(`${renderAgentStatus(report, form === "wide")}\n`);
  return reports.every((report) => report.ready && report.health.every(({ ok }) => ok));
}

async function askOne(agent: AgentAddress): Promise<AgentReport> {
  try {
    return await agentGet<AgentStatus>(agent.socket, "/v1/status", AbortSignal.timeout(10_000));
  } catch (error) {
    return { node: agent.node, ready: false, error: errorText(error) };
  }
}
