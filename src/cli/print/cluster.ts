// SPDX-License-Identifier: Apache-2.0
import { styleText } from "node:util";
import type { ClusterReport, NodeReport, PodReport, Problem } from "#live/report.ts";
import { fullestMap } from "./fullest-map.ts";
import { type Grid, renderGrid } from "./table.ts";

/** `weft status` of a cluster: what is wrong, then every node, operator and relay. */
export function renderCluster(report: ClusterReport, wide: boolean): string {
  const { problems, nodes, operator, relay } = report;
  const errors = problems.filter(({ severity }) => severity === "error").length;
  const verdict =
    errors > 0
      ? styleText("red", `${errors} ${errors === 1 ? "error" : "errors"}`)
      : styleText("green", "everything works");
  const parts = [`Cluster ${report.server}: ${verdict}`];
  if (problems.length > 0) parts.push(problems.map(renderProblem).join("\n"));
  parts.push(renderGrid(nodeGrid(nodes), wide));
  const leads = operator.leader === undefined ? "nobody leads" : `${operator.leader} leads`;
  parts.push(
    [
      `Operator   ${readyOf(operator.pods)}, ${leads}`,
      `Relay      ${relay.pods.length === 0 ? "not installed" : readyOf(relay.pods)}`,
    ].join("\n"),
  );
  return `${parts.join("\n\n")}\n`;
}

function renderProblem({ severity, about, text, hint }: Problem): string {
  const mark = severity === "error" ? styleText("red", "✗") : styleText("yellow", "!");
  return `${mark} ${about}: ${text}${hint ? `\n    ${hint}` : ""}`;
}

function readyOf(pods: readonly PodReport[]): string {
  const restarts = pods.reduce((sum, pod) => sum + pod.restarts, 0);
  const ready = `${pods.filter((pod) => pod.ready).length} of ${pods.length} ready`;
  return restarts === 0 ? ready : `${ready}, ${restarts} ${restarts === 1 ? "restart" : "restarts"}`;
}

const columns: readonly {
  readonly name: string;
  readonly wide?: boolean;
  of(node: NodeReport): string | number;
}[] = [
  { name: "NODE", of: (node) => node.name },
  { name: "STATUS", of: (node) => (node.ready ? "Ready" : "NotReady") },
  { name: "AGENT", of: (node) => (node.agent ? (node.agent.ready ? "ready" : "not ready") : "missing") },
  { name: "VERSION", of: ({ status }) => status?.version ?? "" },
  { name: "UP", of: ({ status }) => (status ? duration(status.uptimeSec) : "") },
  { name: "RESTARTS", of: ({ agent }) => agent?.restarts ?? "" },
  { name: "ENDPOINTS", of: ({ status }) => status?.counts["endpoints"] ?? "" },
  { name: "POLICIES", of: ({ status }) => status?.counts["policies"] ?? "" },
  { name: "IDENTITIES", of: ({ status }) => status?.counts["identities"] ?? "" },
  { name: "FLOWS/S", of: ({ flows }) => (flows ? flows.perSec.toFixed(flows.perSec < 10 ? 1 : 0) : "") },
  { name: "FULLEST-MAP", of: ({ status }) => fullestMap(status?.maps ?? []) },
  {
    name: "MEMORY",
    of: ({ status }) => (status ? `${Math.round(status.rssBytes / 1e6)} MB` : ""),
    wide: true,
  },
  {
    name: "MAP-MEMORY",
    of: ({ status }) => (status?.mapBytes === undefined ? "" : `${Math.round(status.mapBytes / 1e6)} MB`),
    wide: true,
  },
  { name: "ROUTING", of: ({ status }) => status?.settings["routing"] ?? "", wide: true },
  { name: "SOCKMAP", of: ({ status }) => (status ? sockmapOf(status) : ""), wide: true },
  { name: "ADDRESSES", of: ({ addresses }) => addresses.join(","), wide: true },
  {
    name: "POD-CIDRS",
    of: ({ status, podCidrs }) => status?.settings["pods"]?.replaceAll(" ", ",") || podCidrs.join(","),
    wide: true,
  },
  { name: "IMAGE", of: ({ agent }) => agent?.image ?? "", wide: true },
  { name: "POD", of: ({ agent }) => agent?.pod ?? "", wide: true },
];

function nodeGrid(nodes: readonly NodeReport[]): Grid {
  return { columns, rows: nodes.map((node) => columns.map((column) => column.of(node))) };
}

/** `annotated, 98 % of messages`: of those that might, so many went past the network. */
function sockmapOf({ settings, counts }: NonNullable<NodeReport["status"]>): string {
  const { acceleration = "" } = settings;
  const past = counts["messages past the network"] ?? 0;
  const sum = past + (counts["messages left to it"] ?? 0);
  return sum === 0 ? acceleration : `${acceleration}, ${Math.floor((100 * past) / sum)} % of messages`;
}

/** As kubectl shows ages: `45s`, `12m`, `3h`, `5d`. */
function duration(sec: number): string {
  if (sec < 120) return `${sec}s`;
  if (sec < 2 * 3600) return `${Math.floor(sec / 60)}m`;
  return sec < 2 * 86_400 ? `${Math.floor(sec / 3600)}h` : `${Math.floor(sec / 86_400)}d`;
}
