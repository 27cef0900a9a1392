// SPDX-License-Identifier: Apache-2.0
import { type Address, family } from "#model/ip.ts";

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
  /** Those that get new connections, by address; their slots in the map are stable and not in this order. */
  readonly backends: readonly Backend[];
  /** Those that get none any more but still exist: their connections go on. */
  readonly draining?: readonly Backend[];
  /** How long a client stays with its backend (sessionAffinity ClientIP); absent: not at all. */
  readonly affinitySec?: number;
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

/** An address, a port and a protocol: names a frontend and a backend. */
export interface Tuple {
  readonly address: Address;
  readonly port: number;
  readonly proto: number;
}

/** `10.96.0.10:53/UDP`, `[fd00::a]:53/UDP` */
export function tupleText({ address, port, proto }: Tuple): string {
  return `${family(address) === 6 ? `[${address}]` : address}:${port}/${protoName(proto)}`;
}

const protoNames: Readonly<Record<number, string>> = { 6: "TCP", 17: "UDP", 132: "SCTP" };

export function protoName(proto: number): string {
  return protoNames[proto] ?? String(proto);
}

/**
 * Which endpoints answer (KEP-1669): those that are ready; when there are none, those that terminate but still serve.
 * The rest of what exists drains: a TCP connection may go on until its end. UDP has none, so its flows move on.
 */
export function chooseBackends(endpoints: readonly Backend[]): { backends: Backend[]; draining: Backend[] } {
  let backends = endpoints.filter((endpoint) => endpoint.ready);
  if (backends.length === 0)
    backends = endpoints.filter((endpoint) => endpoint.serving && endpoint.terminating);
  const chosen = new Set(backends);
  return {
    backends,
    draining: endpoints.filter((endpoint) => !chosen.has(endpoint) && endpoint.proto === 6),
  };
}
