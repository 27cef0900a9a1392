// SPDX-License-Identifier: Apache-2.0
import type { Address } from "#model/ip.ts";
import { type LbService, lbServiceKey, sharingProblem } from "./lb-ipam-service.ts";

/** Why a Service cannot have an address that another one has. */
export interface Claimed {
  readonly reason: "already_allocated" | "already_allocated_incompatible_service";
  readonly message: string;
}

/** Which Services have which address: several have one when they may share it. */
export class AddressOwners {
  readonly #owners = new Map<Address, Map<string, LbService>>();
  /** Addresses under each sharing key. */
  readonly #shared = new Map<string, Set<Address>>();

  has(address: Address): boolean {
    return this.#owners.has(address);
  }

  addresses(): Iterable<Address> {
    return this.#owners.keys();
  }

  /** Addresses that Services of the sharing key have. */
  sharedBy(sharingKey: string): Iterable<Address> {
    return this.#shared.get(sharingKey) ?? [];
  }

  /** @returns whether nobody had the address */
  claim(service: LbService, address: Address): boolean {
    const { sharingKey } = service;
    const owners = this.#owners.get(address);
    if (owners) owners.set(lbServiceKey(service), service);
    else this.#owners.set(address, new Map([[lbServiceKey(service), service]]));
    if (sharingKey !== "")
      this.#shared.set(sharingKey, (this.#shared.get(sharingKey) ?? new Set()).add(address));
    return owners === undefined;
  }

  /** Takes a Service off the addresses it claimed; returns those that nobody has any more. */
  release(service: LbService, addresses: readonly Address[]): Address[] {
    const free: Address[] = [];
    for (const address of addresses) {
      const owners = this.#owners.get(address);
      if (!owners?.delete(lbServiceKey(service)) || owners.size > 0) continue;
      this.#owners.delete(address);
      free.push(address);
    }
    this.#unshare(service);
    return free;
  }

  /** Takes addresses that nobody has under the Service's key any more out of the key's. */
  #unshare({ sharingKey }: LbService): void {
    const shared = this.#shared.get(sharingKey);
    for (const address of shared ?? []) {
      const owners = [...(this.#owners.get(address)?.values() ?? [])];
      if (!owners.some((owner) => owner.sharingKey === sharingKey)) shared!.delete(address);
    }
    if (shared?.size === 0) this.#shared.delete(sharingKey);
  }

  /** Who has the address and does not share it with the Service; undefined: nobody. */
  inTheWay(service: LbService, address: Address): Claimed | undefined {
    for (const [key, other] of this.#owners.get(address) ?? []) {
      const problem = sharingProblem(service, other);
      if (problem === undefined) continue;
      const alone = service.sharingKey === "" && other.sharingKey === "";
      return {
        reason: alone ? "already_allocated" : "already_allocated_incompatible_service",
        message: `The IP '${address}' is service ${key}'s${alone ? "" : `, which cannot share it: ${problem}`}`,
      };
    }
    return undefined;
  }
}
