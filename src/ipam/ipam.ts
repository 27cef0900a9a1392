// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import { type Address, family, type Prefix } from "#model/ip.ts";
import { AddressPool } from "./pool.ts";

/** A pod's addresses: one of each family the node has a CIDR of. */
export interface PodAddresses {
  readonly v4?: Address;
  readonly v6?: Address;
}

export interface PoolUsage {
  readonly cidr: Prefix;
  readonly used: number;
  readonly size: number;
}

/** The addresses of this node's pods, in memory: what is in use is known from the endpoints (see {@link Ipam.restore}). */
export class Ipam {
  readonly #v4: AddressPool | undefined;
  readonly #v6: AddressPool | undefined;
  readonly #owners = new Map<string, PodAddresses>();

  /** @throws WeftError E_IPAM_CIDR for no CIDR, or two of one family */
  constructor(podCidrs: readonly Prefix[]) {
    const v4 = podCidrs.filter((cidr) => family(cidr) === 4);
    const v6 = podCidrs.filter((cidr) => family(cidr) === 6);
    if (v4.length > 1 || v6.length > 1 || podCidrs.length === 0) {
      const given = podCidrs.join(", ") || "none";
      throw new WeftError("E_IPAM_CIDR", `a node needs one pod CIDR per family, given: ${given}`);
    }
    this.#v4 = v4[0] && new AddressPool(v4[0]);
    this.#v6 = v6[0] && new AddressPool(v6[0]);
  }

  /** The node's own address in each CIDR, the first one; never given to a pod. */
  get router(): PodAddresses {
    return { ...(this.#v4 && { v4: this.#v4.router }), ...(this.#v6 && { v6: this.#v6.router }) };
  }

  /**
   * Gives an owner one address of each family, or nothing at all.
   * @throws WeftError E_IPAM_FULL; E_IPAM_OWNER when the owner has addresses already
   */
  allocate(owner: string): PodAddresses {
    if (this.#owners.has(owner)) throw new WeftError("E_IPAM_OWNER", `${owner} already has an address`);
    const v4 = this.#v4?.take();
    let v6: Address | undefined;
    try {
      v6 = this.#v6?.take();
    } catch (error) {
      if (v4 !== undefined) this.#v4?.untake(v4);
      throw error;
    }
    const addresses = { ...(v4 !== undefined && { v4 }), ...(v6 !== undefined && { v6 }) };
    this.#owners.set(owner, addresses);
    return addresses;
  }

  /** Takes an owner's addresses back; they are given out again after all others. True when it had some. */
  release(owner: string): boolean {
    const addresses = this.#owners.get(owner);
    if (addresses === undefined) return false;
    this.#owners.delete(owner);
    if (addresses.v4 !== undefined) this.#v4?.free(addresses.v4);
    if (addresses.v6 !== undefined) this.#v6?.free(addresses.v6);
    return true;
  }

  /**
   * Notes addresses that are in use since before the start. One outside the node's CIDRs (they have changed) is kept
   * for its owner too.
   * @throws WeftError E_IPAM_CONFLICT when somebody else has one; then nothing is noted
   */
  restore(owner: string, addresses: PodAddresses): void {
    for (const held of this.#owners.values()) {
      for (const address of [addresses.v4, addresses.v6]) {
        if (address === undefined || (held.v4 !== address && held.v6 !== address)) continue;
        throw new WeftError("E_IPAM_CONFLICT", `${address} cannot be restored for ${owner}: it is in use`);
      }
    }
    if (this.#owners.has(owner)) throw new WeftError("E_IPAM_CONFLICT", `${owner} already has an address`);
    this.#owners.set(owner, addresses);
    if (addresses.v4 !== undefined) this.#v4?.reserve(addresses.v4);
    if (addresses.v6 !== undefined) this.#v6?.reserve(addresses.v6);
  }

  get(owner: string): PodAddresses | undefined {
    return this.#owners.get(owner);
  }

  owners(): ReadonlyMap<string, PodAddresses> {
    return this.#owners;
  }

  usage(): PoolUsage[] {
    return [this.#v4, this.#v6].flatMap((pool) =>
      pool === undefined ? [] : [{ cidr: pool.cidr, used: pool.used, size: pool.size }],
    );
  }
}
