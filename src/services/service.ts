// SPDX-License-Identifier: Apache-2.0
import type { Address } from "#model/ip.ts";

export type FrontendType = "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalIP" | "HostPort";

/** One address and port of a Service, with the backends that answer for it: a desired row. */
export interface Frontend {
  readonly namespace: string;
  readonly name: string;
  readonly portName: string;
  readonly type: FrontendType;
  readonly address: Address;
  readonly port: number;
  /** IANA number: 6 TCP, 17 UDP, 132 SCTP. */
  readonly proto: number;
  /** In slot order (stable). */
  readonly backends: readonly Backend[];
}

export interface Backend {
  readonly address: Address;
  readonly port: number;
  readonly proto: number;
  readonly node?: string;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
}
