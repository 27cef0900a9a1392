// SPDX-License-Identifier: Apache-2.0
import type { Address } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";

/** A pod's attachment to this node's datapath. Made by CNI ADD, kept on disk, gone with CNI DEL. */
export interface Endpoint {
  /** Unique on the node, 1..65535. */
  readonly id: number;
  readonly namespace: string;
  readonly pod: string;
  /** Of the pod's object. */
  readonly podUid: string;
  /** Of a static pod: what the kubelet knows it by; its object in the API server, a mirror, has another uid. */
  readonly staticUid?: string;
  readonly containerId: string;
  /** Interface name inside the pod, as the runtime asked (CNI_IFNAME). */
  readonly ifname: string;
  /** Path of the pod's network namespace. */
  readonly netns: string;
  readonly hostIfname: string;
  readonly hostIfindex: number;
  /** `aa:bb:cc:dd:ee:ff` */
  readonly mac: string;
  readonly hostMac: string;
  readonly v4?: Address;
  readonly v6?: Address;
  /** Security-relevant labels with source; from the pod, its namespace and its service account. */
  readonly labels: Labels;
  /** 0 until allocated. */
  readonly identity: number;
  /** Container ports by name, for named ports in policies. */
  readonly namedPorts: readonly NamedPort[];
  /** What policies deny it is told and not enforced. */
  readonly audit?: true;
  /** May send from addresses that are not its own. */
  readonly anySource?: true;
  /** Its connections may go past the network, or must not; absent: as the node's setting has it. */
  readonly sockmap?: boolean;
}

export interface NamedPort {
  readonly name: string;
  readonly port: number;
  /** IANA number: 6 TCP, 17 UDP, 132 SCTP. */
  readonly proto: number;
}
