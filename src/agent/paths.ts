// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import type { AgentConfig } from "./config.ts";

/** Where an agent's sockets and files are; the command and the lab find them by this. */
export interface AgentPaths {
  /** Local API: status, tables, maps. Mode 0600. */
  readonly api: string;
  readonly cni: string;
  /** One empty file per attachment that was deleted while no agent answered, named `CONTAINER:IFNAME`; the shim writes them. */
  readonly cniDeletions: string;
  readonly observer: string;
  /** One JSON file an endpoint: what CNI ADD was told and answered. */
  readonly endpoints: string;
  /** The cluster's state as it was last known, for a start without API server. */
  readonly snapshots: string;
  /** CIDRs that the node's device denies. */
  readonly prefilter: string;
  /** What the node was like before the first agent. */
  readonly before: string;
  readonly maps: string;
  readonly links: string;
}

export function agentPaths(config: Pick<AgentConfig, "runDir" | "stateDir" | "bpfDir">): AgentPaths {
  return {
    api: join(config.runDir, "agent.sock"),
    cni: join(config.runDir, "cni.sock"),
    cniDeletions: join(config.runDir, "deletions"),
    observer: join(config.runDir, "observer.sock"),
    endpoints: join(config.stateDir, "endpoints"),
    snapshots: join(config.stateDir, "cluster"),
    prefilter: join(config.stateDir, "prefilter.json"),
    before: join(config.stateDir, "before.json"),
    maps: join(config.bpfDir, "maps"),
    links: join(config.bpfDir, "links"),
  };
}
