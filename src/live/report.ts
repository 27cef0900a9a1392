// SPDX-License-Identifier: Apache-2.0
import type { AgentStatus } from "#agent/api.ts";
import type { ComponentName } from "./components.ts";
import type { LeaseObject, NodeObject, PodObject } from "./objects.ts";

export interface FlowRate {
  readonly perSec: number;
  /** Since the agent started. */
  readonly seen: number;
  readonly held: number;
}

/** What an agent said, or why it said nothing. */
export interface AgentAnswer {
  readonly status?: AgentStatus;
  readonly flows?: FlowRate;
  readonly error?: string;
}

/** What was read of a cluster at one moment. */
export interface Snapshot {
  readonly server: string;
  readonly nowMs: number;
  /** Version of this command. */
  readonly version: string;
  readonly nodes: readonly NodeObject[];
  readonly pods: Readonly<Record<ComponentName, readonly PodObject[]>>;
  readonly lease?: LeaseObject | undefined;
  /** By node. */
  readonly answers: ReadonlyMap<string, AgentAnswer>;
}

export interface Problem {
  /** `error`: something does not work; `warning`: it works, but look at it. */
  readonly severity: "error" | "warning";
  /** `node n1`, `operator`, `cluster`. */
  readonly about: string;
  readonly text: string;
  readonly hint?: string;
}

export interface PodReport {
  readonly pod: string;
  readonly namespace: string;
  readonly node: string;
  readonly ready: boolean;
  readonly restarts: number;
  readonly image: string;
  /** Why it is not ready. */
  readonly problem?: string;
}

export interface NodeReport {
  readonly name: string;
  /** As Kubernetes has it. */
  readonly ready: boolean;
  readonly addresses: readonly string[];
  readonly podCidrs: readonly string[];
  readonly agent?: PodReport;
  readonly status?: AgentStatus;
  readonly flows?: FlowRate;
}

export interface OperatorReport {
  readonly pods: readonly PodReport[];
  /** Pod that leads. */
  readonly leader?: string;
}

export interface ClusterReport {
  readonly server: string;
  /** No error among the problems. */
  readonly well: boolean;
  /** Errors first. */
  readonly problems: readonly Problem[];
  readonly nodes: readonly NodeReport[];
  readonly operator: OperatorReport;
  readonly relay: { readonly pods: readonly PodReport[] };
}
