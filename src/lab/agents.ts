// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { agentPaths } from "#agent/paths.ts";
import { type LabPlan, planLab } from "./layout.ts";
import { readRecord } from "./record.ts";

/** Local API sockets of the running lab's agents; empty without a lab. */
export function labAgents(): { node: string; socket: string }[] {
  const record = readRecord();
  if (!record) return [];
  return planLab(record.shape)
    .nodes.map((node) => ({ node: node.name, socket: agentPaths(node).api }))
    .filter(({ socket }) => existsSync(socket));
}

/** Observer sockets of the lab's agents, by node name: whether they answer already or not. */
export function labObservers(plan: LabPlan): { node: string; socket: string }[] {
  return plan.nodes.map((node) => ({ node: node.name, socket: agentPaths(node).observer }));
}
