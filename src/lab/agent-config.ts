// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { stringify } from "yaml";
import { type AgentConfig, parseAgentConfig } from "#agent/config.ts";
import { cgroupRoot } from "#kernel/cgroup.ts";
import { WeftError } from "#lib/errors.ts";
import type { LabPlan, NodePlan } from "./layout.ts";

/** Settings of the agents that a lab's user wants to be others than usual, in the form of the agent's file. */
export type AgentSettings = Readonly<Record<string, unknown>>;

const labOwn = [
  ...[
    "nodeName",
    "clusterName",
    "kubeconfig",
    "routing",
    "families",
    "device",
    "runDir",
    "stateDir",
    "bpfDir",
  ],
  ...["cgroup", "cniConfDir", "cniBinDir", "observer", "metrics"],
] as const;

/** @throws WeftError E_CONFIG naming the setting that is wrong, or the lab's own */
export function checkAgentSettings(settings: AgentSettings): void {
  parseAgentConfig(stringify({ nodeName: "n1", ...settings }), "--set", {});
  const own = labOwn.find((name) => name in settings);
  if (own) throw new WeftError("E_CONFIG", `--set: ${own}: is for the lab itself to say`);
}

/** The settings file of one node's agent. */
export function agentConfig(plan: LabPlan, node: NodePlan, settings: AgentSettings = {}): string {
  const wildcard = plan.families === "v4" ? "0.0.0.0" : "[::]";
  const config: Pick<AgentConfig, (typeof labOwn)[number]> = {
    nodeName: node.name,
    clusterName: "weft-lab",
    kubeconfig: node.kubeconfig,
    routing: plan.routing,
    families: plan.families,
    device: "eth0",
    runDir: node.runDir,
    stateDir: node.stateDir,
    bpfDir: node.bpfDir,
    cgroup: join(cgroupRoot(), node.cgroup),
    cniConfDir: node.cniConfDir,
    cniBinDir: join(node.stateDir, "cni-bin"),
    observer: { listen: `${wildcard}:${node.observerPort}` },
    metrics: { listen: `${wildcard}:${node.metricsPort}` },
  };
  // Nobody has to wait long in a lab for another node to take over.
  const l2Announcements = { enabled: true, leaseSec: 3 };
  return stringify({ l2Announcements, ...config, ...settings });
}

/** The settings file of the operator, which runs on one of the nodes: what the agents are told of announcements it is told too. */
export function operatorConfig(node: NodePlan, settings: AgentSettings = {}): string {
  const { l2Announcements = { enabled: true } } = settings;
  return stringify({ clusterName: "weft-lab", kubeconfig: node.kubeconfig, l2Announcements });
}
