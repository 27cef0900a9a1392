// SPDX-License-Identifier: Apache-2.0
import type { Endpoint } from "#endpoints/endpoint.ts";
import type { EndpointRequest } from "#endpoints/manager.ts";
import type { Ipam } from "#ipam/ipam.ts";
import type { NetnsRef } from "#kernel/netns.ts";
import type { Logger } from "#lib/log.ts";
import type { Address } from "#model/ip.ts";

/** What the CNI server needs of the endpoint manager. */
export interface CniEndpoints {
  /**
   * Resolves only when the datapath has the pod's identity and policy in force: the pod's process starts after it.
   * Until then the host side of its veth is down. When it rejects, nothing is left behind.
   */
  create(request: EndpointRequest, signal: AbortSignal): Promise<Endpoint>;
  /** Detaches; one that is not there is a success. The device may be gone already. */
  remove(containerId: string, ifname: string): void;
  find(containerId: string, ifname: string): Endpoint | undefined;
  list(): Iterable<Endpoint>;
}

/** What of the node goes into a pod's wiring. */
export interface CniNode {
  /** Of both ends of the veth, in bytes. */
  readonly mtu: number;
  /** Source of what the node itself sends to its pods; absent: the kernel chooses. */
  readonly source?: { readonly v4?: Address; readonly v6?: Address };
  /** The host's /proc when it is not this process's; network namespaces by process id are looked up there. */
  readonly hostProc?: string;
  /** Where host sides live; absent: the namespace of this process. */
  readonly netns?: NetnsRef;
}

export interface CniDeps {
  readonly ipam: Ipam;
  readonly endpoints: CniEndpoints;
  readonly node: CniNode;
  readonly log: Logger;
  /** Why no pod can be attached just now, for ADD and STATUS; undefined: it can. */
  notReady(): string | undefined;
}

/** Who holds an address in the IPAM: one interface of one container. */
export function ownerOf(attachment: { readonly containerId: string; readonly ifname: string }): string {
  return `${attachment.containerId}/${attachment.ifname}`;
}

/** The inverse of {@link ownerOf}. */
export function attachmentOf(owner: string): { containerId: string; ifname: string } {
  const slash = owner.lastIndexOf("/");
  return { containerId: owner.slice(0, slash), ifname: owner.slice(slash + 1) };
}
