// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { createKubeClient, type KubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { statePaths } from "#lab/layout.ts";
import { WeftError } from "#lib/errors.ts";
import { type AgentAddress, type AgentChoice, findAgents } from "./agents.ts";

/** Which cluster a command speaks to. */
export interface ClusterChoice {
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** Agents on this machine by their sockets, or a cluster by its API server. */
export type Target =
  | { readonly kind: "local"; readonly agents: readonly AgentAddress[] }
  | { readonly kind: "cluster"; readonly client: KubeClient };

export function withKubeconfig(command: Command): Command {
  return command
    .option("--kubeconfig <file>", "the cluster to ask (default: $KUBECONFIG, then ~/.kube/config)")
    .option("--context <name>", "context of the kubeconfig");
}

/** A client of the cluster chosen. @throws WeftError E_KUBECONFIG */
export async function clusterClient({ kubeconfig, context }: ClusterChoice): Promise<KubeClient> {
  return createKubeClient(await loadCredentials(kubeconfig, { ...(context && { context }) }));
}

/**
 * Whom a looking command asks: the socket named; else the cluster named by option or `$KUBECONFIG` (unless that is the lab's: its agents are on
 * this machine); else the running lab or the agent installed here; else the cluster of `~/.kube/config`.
 * @throws WeftError E_AGENT when there is none of these
 */
export async function chooseTarget(choice: AgentChoice & ClusterChoice): Promise<Target> {
  if (!choice.agent && namesCluster(choice)) return { kind: "cluster", client: await clusterClient(choice) };
  try {
    return { kind: "local", agents: findAgents(choice) };
  } catch (thrown) {
    if (choice.agent || !(thrown instanceof WeftError) || thrown.code !== "E_AGENT") throw thrown;
    const client = await clusterClient(choice).catch(() => undefined);
    if (client) return { kind: "cluster", client };
    throw new WeftError("E_AGENT", "no agent runs on this machine, and there is no kubeconfig", {
      hint: "name a cluster with --kubeconfig, or start a lab with `weft lab up`",
    });
  }
}

/** A cluster is named by option or `$KUBECONFIG`, and it is not the lab. */
export function namesCluster({ kubeconfig, context }: ClusterChoice): boolean {
  const file = kubeconfig ?? process.env["KUBECONFIG"]?.split(":").find((part) => part !== "");
  if (file !== undefined) return !(existsSync(file) && resolve(file) === resolve(statePaths.kubeconfig));
  return context !== undefined;
}
