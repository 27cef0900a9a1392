// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { stringify } from "yaml";
import type { AgentConfig } from "#agent/config.ts";
import { cgroupRoot } from "#kernel/cgroup.ts";
import type { LabPlan, NodePlan } from "./layout.ts";

/** The settings file of one node's agent. */
export function agentConfig(plan: LabPlan, node: NodePlan): string {
  const wildcard = plan.families === "v4" ? "0.0.0.0" : "[::]";
  const config: Partial<AgentConfig> = {
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
  return stringify(config);
}

/** The settings file of the operator, which runs on one of the nodes. */
export function operatorConfig(node: NodePlan): string {
  return stringify({ clusterName: "weft-lab", kubeconfig: node.kubeconfig });
}
