// SPDX-License-Identifier: Apache-2.0
import { styleText } from "node:util";
import type { AgentHealth, AgentStatus } from "#agent/api.ts";
import { fullestMap } from "./fullest-map.ts";

/** An agent's status, or why there is none. */
export type AgentReport =
  | AgentStatus
  | { readonly node: string; readonly ready: false; readonly error: string };

/** `weft status` of an agent on this machine: what it is, and of its parts those that are not well; wide: all of them. */
export function renderAgentStatus(report: AgentReport, wide: boolean): string {
  if ("error" in report) return `Node ${report.node}: ${colour(false, "not reachable")}\n  ${report.error}\n`;
  const shown = wide ? report.health : report.health.filter(({ ok }) => !ok);
  const lines = [
    ["Agent", agentText(report)],
    ["Settings", listOf(report.settings, (name, value) => `${name} ${value}`)],
    ["Counts", listOf(report.counts, (name, value) => `${value} ${name}`)],
    ["Maps", mapsText(report)],
    ["Parts", partsText(report.health, wide)],
    ...shown.map(({ name, ok, text }) => [name, colour(ok, text)] as const),
  ] as const;
  const width = Math.max(...lines.map(([name]) => name.length)) + 2;
  const text = lines.map(([name, said]) => `  ${`${name}:`.padEnd(width)}${said}`).join("\n");
  return `Node ${report.node}: ${colour(report.ready, report.ready ? "ready" : "not ready")}\n${text}\n`;
}

function colour(good: boolean, text: string): string {
  return styleText(good ? "green" : "red", text);
}

function agentText({ version, pid, uptimeSec, rssBytes }: AgentStatus): string {
  return `weft ${version}, pid ${pid}, up ${uptimeSec} s, ${Math.round(rssBytes / 1e6)} MB`;
}

function mapsText({ maps = [], mapBytes }: AgentStatus): string {
  const memory = mapBytes === undefined ? "" : `, ${Math.round(mapBytes / 1e6)} MB of kernel memory in all`;
  return `fullest ${fullestMap(maps) || "none"}${memory}`;
}

function partsText(health: readonly AgentHealth[], wide: boolean): string {
  const well = health.filter(({ ok }) => ok).length;
  const hint = wide ? "" : " (-o wide lists them)";
  return well === health.length
    ? `all ${well} work${hint}`
    : `${health.length - well} of ${health.length} do not work${hint}`;
}

function listOf<T>(values: Readonly<Record<string, T>>, text: (name: string, value: T) => string): string {
  return Object.entries(values)
    .map(([name, value]) => text(name, value))
    .join(", ");
}
