// SPDX-License-Identifier: Apache-2.0
import { isIPv6 } from "node:net";
import type { Cluster, ClusterNode, NamedPort, Party, Pod } from "./cluster.ts";

/** A packet that begins a conversation. */
export interface Attempt {
  readonly from: string;
  readonly to: string;
  readonly protocol: "TCP" | "UDP" | "SCTP" | "ICMP";
  /** Destination port; of ICMP the type. */
  readonly port: number;
}

/** Whose policies are asked. */
export type Subject =
  | { readonly kind: "pod"; readonly pod: Pod }
  | { readonly kind: "host"; readonly node: ClusterNode };

/** One side's question: may `subject` have this conversation with `peer`? */
export interface Side {
  readonly cluster: Cluster;
  readonly subject: Subject;
  readonly peer: Party;
  readonly direction: "ingress" | "egress";
  readonly attempt: Attempt;
}

export function isV6({ attempt }: Side): boolean {
  return isIPv6(attempt.to);
}

/** A port's name is a number of the pod that is spoken to; who is no pod has no names. */
export function named({ subject, peer, direction, attempt }: Side, name: string): NamedPort | undefined {
  const spokenTo = direction === "ingress" ? subject : peer;
  const ports = spokenTo.kind === "pod" ? spokenTo.pod.ports : [];
  return ports.find(
    (one) => one.name === name && one.port === attempt.port && one.protocol === attempt.protocol,
  );
}

/** What one policy object says in a tier where order is no matter. */
export interface Vote {
  /** What no policy allows is denied. */
  readonly isolates: boolean;
  readonly allows: boolean;
  readonly denies: boolean;
}

export const abstains: Vote = { isolates: false, allows: false, denies: false };
