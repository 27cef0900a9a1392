// SPDX-License-Identifier: Apache-2.0

/** Reserved identities, the numbers Cilium uses (on the wire, in policies and in flows). */
export const ReservedIdentity = {
  unknown: 0,
  host: 1,
  world: 2,
  unmanaged: 3,
  health: 4,
  init: 5,
  remoteNode: 6,
  kubeApiserver: 7,
  ingress: 8,
  worldV4: 9,
  worldV6: 10,
} as const;

/** Label name of each reserved identity, as in `reserved:host`. */
export const reservedNames: ReadonlyMap<number, string> = new Map([
  [0, "unknown"],
  [1, "host"],
  [2, "world"],
  [3, "unmanaged"],
  [4, "health"],
  [5, "init"],
  [6, "remote-node"],
  [7, "kube-apiserver"],
  [8, "ingress"],
  [9, "world-ipv4"],
  [10, "world-ipv6"],
]);

/** Cluster-wide identities (labels of pods). */
export const clusterIdentityRange = { first: 256, last: 65535 } as const;

/** Node-local identities of CIDRs: scope 0x01 in the high byte. */
export const localIdentityScope = 0x01_00_00_00;

/** Identities of other nodes, while policies ask for nodes' labels. */
export const nodeIdentityScope = 0x02_00_00_00;

/** Node-local identities of the prefixes that NetworkPolicy's ipBlocks name, whoever has an address in them. Never on the wire. */
export const blockIdentityScope = 0x03_00_00_00;

/** Known to this node only. */
export function isLocalIdentity(identity: number): boolean {
  return identity >>> 24 !== 0;
}

export function isBlockIdentity(identity: number): boolean {
  return identity >>> 24 === blockIdentityScope >>> 24;
}
