// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import {
  type Address,
  addressBytes,
  contains,
  family,
  nthAddress,
  type Prefix,
  prefixAddress,
  prefixSize,
} from "#model/ip.ts";

/** Place of the node's own address in a CIDR; 0 is the network (IPv6: the subnet-router anycast) address. */
const ROUTER = 1;
const FIRST = 2;
/** A node has at most 65,535 endpoints; more of a large IPv6 prefix is never needed. */
const MAX_SIZE = 1 << 20;

/**
 * The addresses of one CIDR. Given out in this order: those never used, upwards from the highest one that was in use
 * at the start and around; then the freed ones, longest free first. So an address stays unused as long as possible
 * after its pod is gone, and what still talks to the old pod does not reach a new one.
 */
export class AddressPool {
  readonly cidr: Prefix;
  /** How many addresses pods can have. */
  readonly size: number;
  readonly #used = new Set<Address>();
  /** In the order they were freed. */
  readonly #freed = new Set<Address>();
  #start = 0;
  #tried = 0;

  constructor(cidr: Prefix) {
    this.cidr = cidr;
    // IPv4's last address is the broadcast address.
    const last = prefixSize(cidr) - (family(cidr) === 4 ? 2 : 1);
    this.size = Math.max(0, Math.min(MAX_SIZE, last - FIRST + 1));
  }

  /** @throws WeftError E_PREFIX for a CIDR of one address */
  get router(): Address {
    return nthAddress(this.cidr, ROUTER);
  }

  get used(): number {
    return this.#used.size;
  }

  /** @throws WeftError E_IPAM_FULL */
  take(): Address {
    const address = this.#neverUsed() ?? this.#longestFree();
    if (address === undefined) {
      throw new WeftError(
        "E_IPAM_FULL",
        `all ${this.size} addresses of the node's pod CIDR ${this.cidr} are in use`,
      );
    }
    this.#used.add(address);
    return address;
  }

  #neverUsed(): Address | undefined {
    while (this.#tried < this.size) {
      const address = nthAddress(this.cidr, FIRST + ((this.#start + this.#tried) % this.size));
      this.#tried++;
      if (!this.#used.has(address) && !this.#freed.has(address)) return address;
    }
    return undefined;
  }

  #longestFree(): Address | undefined {
    for (const address of this.#freed) {
      this.#freed.delete(address);
      return address;
    }
    return undefined;
  }

  free(address: Address): void {
    if (this.#used.delete(address)) this.#freed.add(address);
  }

  /** Gives back what was just taken and never left this process: it is the first of the freed ones. */
  untake(address: Address): void {
    if (!this.#used.delete(address)) return;
    const others = [...this.#freed];
    this.#freed.clear();
    for (const each of [address, ...others]) this.#freed.add(each);
  }

  /** Marks an address that is in use; one that is not of this pool is left alone. Call before the first {@link take}. */
  reserve(address: Address): void {
    const place = this.#placeOf(address);
    if (place === undefined) return;
    this.#used.add(address);
    this.#freed.delete(address);
    if (this.#tried === 0) this.#start = Math.max(this.#start, (place + 1) % this.size);
  }

  #placeOf(address: Address): number | undefined {
    if (!contains(this.cidr, address)) return undefined;
    const base = addressBytes(prefixAddress(this.cidr));
    const bytes = addressBytes(address);
    if (bytes.some((byte, i) => i < 12 && byte !== base[i])) return undefined;
    const low = (raw: Uint8Array) => new DataView(raw.buffer, raw.byteOffset).getUint32(12);
    const place = low(bytes) - low(base) - FIRST;
    return place >= 0 && place < this.size ? place : undefined;
  }
}
