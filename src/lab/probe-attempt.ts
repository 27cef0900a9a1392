// SPDX-License-Identifier: Apache-2.0
import type { Address } from "#model/ip.ts";
import type { Question } from "#model/questions.ts";
import type { EndpointSlice, NodeObject, Pod, Service } from "./objects.ts";

/** What the attempts are made from. */
export interface ClusterView {
  readonly pods: readonly Pod[];
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
  readonly nodes: readonly NodeObject[];
}

export type Protocol = "TCP" | "UDP" | "SCTP" | "ICMP";

export interface ProbeEnd {
  readonly namespace: string;
  /** Empty for a node or an address outside, and for a Service (which pod answers is not known). */
  readonly pod: string;
}

/** One answered question, in the form `weft lab probe -o json` prints. */
export interface ProbeRow {
  readonly from: ProbeEnd & {
    readonly workload: string;
    /** Of a node or an address outside. */
    readonly ip?: string;
    readonly node?: string;
  };
  readonly to: ProbeEnd & {
    readonly service: string;
    readonly node?: string;
    readonly ip: string;
    readonly port: number;
    readonly protocol: Protocol;
  };
  readonly via: "service" | "pod";
  readonly verdict: "allow" | "deny";
  readonly ms: number;
}

/** A question that can be put to somebody who connects: a pod, a node (no pod is named), or the world outside. */
export interface Attempt {
  readonly from: ProbeRow["from"];
  /** "": the world. */
  readonly node: string;
  /** Of the world's addresses the one it connects from. */
  readonly source?: Address;
  readonly to: ProbeRow["to"];
  readonly via: ProbeRow["via"];
  /** The Service has nobody behind it: a refusal comes from the node, not from a pod. */
  readonly unbacked: boolean;
}

export interface ProbeOptions {
  /** Only from and to these namespaces; default all but kube-system. */
  readonly namespaces?: readonly string[];
  /** Also every pod behind a Service by itself. */
  readonly pods?: boolean;
  /** Ask these instead of everything. */
  readonly questions?: readonly Question[];
  /** How long an answer is waited for; absent: 1 s, and 1.5 s once more for what was silent. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}
