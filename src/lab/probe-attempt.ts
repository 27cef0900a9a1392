// SPDX-License-Identifier: Apache-2.0
import type { EndpointSlice, Pod, Service } from "./objects.ts";

/** What the attempts are made from. */
export interface ClusterView {
  readonly pods: readonly Pod[];
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
}

export type Protocol = "TCP" | "UDP" | "ICMP";

export interface ProbeEnd {
  readonly namespace: string;
  /** Empty for an address outside, and for a Service (which pod answers is not known). */
  readonly pod: string;
}

/** One answered question, in the form `weft lab probe -o json` prints. */
export interface ProbeRow {
  readonly from: ProbeEnd & { readonly workload: string };
  readonly to: ProbeEnd & {
    readonly service: string;
    readonly ip: string;
    readonly port: number;
    readonly protocol: Protocol;
  };
  readonly via: "service" | "pod";
  readonly verdict: "allow" | "deny";
  readonly ms: number;
}

/** A question that can be put to a node. */
export interface Attempt {
  readonly from: ProbeRow["from"];
  readonly node: string;
  readonly to: ProbeRow["to"];
  readonly via: ProbeRow["via"];
  /** The Service has nobody behind it: a refusal comes from the node, not from a pod. */
  readonly unbacked: boolean;
}

/** A connection somebody asks about. */
export interface Question {
  /** `namespace/pod`; a workload's name stands for one of its pods. */
  readonly from: string;
  /** `namespace/pod`, `namespace/service` (`service:namespace/service` where a workload has the name too), or an address. */
  readonly to: string;
  /** 0 for ICMP. */
  readonly port: number;
  readonly protocol: Protocol;
}

export interface ProbeOptions {
  /** Only from and to these namespaces; default all but kube-system. */
  readonly namespaces?: readonly string[];
  /** Also every pod behind a Service by itself. */
  readonly pods?: boolean;
  /** Ask these instead of everything. */
  readonly questions?: readonly Question[];
  readonly signal?: AbortSignal;
}
