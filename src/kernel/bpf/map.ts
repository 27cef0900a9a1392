// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { type MapInfo, mapInfo } from "#kernel/bpf/info.ts";
import { MapType, mapTypeName } from "#kernel/bpf/kinds.ts";
import {
  deleteInBatches,
  type MapElement,
  readInBatches,
  slot,
  updateInBatches,
} from "#kernel/bpf/map-batch.ts";
import { countMapWrites } from "#kernel/bpf/map-writes.ts";
import { openPinned, pinObject } from "#kernel/bpf/pin.ts";
import { BpfAttr, BpfCommand, bpfError } from "#kernel/bpf/sys.ts";
import { hasErrno } from "#kernel/errno.ts";
import { Fd } from "#kernel/fd.ts";
import { type Block, block } from "#kernel/memory.ts";
import { WeftError } from "#lib/errors.ts";

const ENOENT = 2;
/** What an update demands of the key: nothing, that it is new, that it exists (BPF_ANY, BPF_NOEXIST, BPF_EXIST). */
export type UpdateMode = "any" | "create" | "exist";
const MODES: Readonly<Record<UpdateMode, bigint>> = { any: 0n, create: 1n, exist: 2n };

export interface CreateMapOptions {
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags?: number;
  readonly mapExtra?: number;
  readonly innerMap?: BpfMap | undefined;
  readonly btf?: { readonly fd: Fd; readonly key: number; readonly value: number } | undefined;
}

/** The element-wise view: what user space hands over and gets back is one value, or one per possible CPU. */
const PER_CPU: ReadonlySet<number> = new Set([
  MapType.percpuHash,
  MapType.percpuArray,
  MapType.lruPercpuHash,
]);

let cpus: number | undefined;

/** CPUs the kernel keeps per-CPU values for, online or not. */
export function possibleCpus(): number {
  cpus ??= Number(/(\d+)\s*$/.exec(readFileSync("/sys/devices/system/cpu/possible", "utf8"))?.[1] ?? 0) + 1;
  return cpus;
}

/**
 * A map of the kernel, by raw bytes; see `typedMap` for keys and values as objects. Owns its fd. Every operation
 * throws KernelError E_SYSCALL with operation and map name when the kernel refuses.
 */
export class BpfMap implements Disposable {
  readonly info: MapInfo;
  readonly fd: Fd;
  /** Bytes of a value as it crosses the system call: per-CPU maps have one, padded to 8, for every possible CPU. */
  readonly valueBytes: number;
  /**
   * Where the next operation's key and value stand: fill, then call `updateScratch`, `lookupScratch`, `deleteScratch`.
   * The fast way, without copies; overwritten by every other operation on the map.
   */
  readonly key: Block;
  readonly value: Block;
  readonly #element: BpfAttr;
  readonly #delete: BpfAttr;
  #batches = true;
  #afterWrite: (() => void) | undefined;

  constructor(fd: Fd) {
    this.fd = fd;
    this.info = mapInfo(fd.number);
    const padded = (this.info.valueSize + 7) & ~7;
    this.valueBytes = PER_CPU.has(this.info.type) ? padded * possibleCpus() : this.info.valueSize;
    this.key = block(this.info.keySize);
    this.value = block(this.valueBytes);
    this.#element = new BpfAttr(32).u32(0, fd.number).pointer(8, this.key).pointer(16, this.value);
    this.#delete = new BpfAttr(16).u32(0, fd.number).pointer(8, this.key);
  }

  static create(options: CreateMapOptions): BpfMap {
    const attr = new BpfAttr(72)
      .u32(0, options.type)
      .u32(4, options.keySize)
      .u32(8, options.valueSize)
      .u32(12, options.maxEntries)
      .u32(16, options.flags ?? 0)
      .u32(20, options.innerMap?.fd.number ?? 0)
      .name(28, options.name)
      .u64(64, BigInt(options.mapExtra ?? 0));
    if (options.btf !== undefined) {
      attr.u32(48, options.btf.fd.number).u32(52, options.btf.key).u32(56, options.btf.value);
    }
    const fd = attr.call(BpfCommand.mapCreate, `create map ${options.name} (${mapTypeName(options.type)})`);
    return BpfMap.#adopt(fd, `map ${options.name}`);
  }

  /** @throws KernelError with errno ENOENT when nothing is pinned there; E_BPF_PIN when it is not a map */
  static openPinned(path: string): BpfMap {
    return BpfMap.#adopt(openPinned(path, "map"), `map ${path}`);
  }

  /** @throws KernelError with errno ENOENT when no map has the id */
  static openId(id: number): BpfMap {
    return BpfMap.#adopt(
      new BpfAttr(12).u32(0, id).call(BpfCommand.mapGetFdById, `open map ${id}`),
      `map ${id}`,
    );
  }

  static #adopt(number: number, label: string): BpfMap {
    const fd = new Fd(number, label);
    try {
      return new BpfMap(fd);
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  get name(): string {
    return this.info.name;
  }

  /** Calls `then` after each write through this object, whatever came of it: of many elements at once, once. */
  onWrite(then: () => void): void {
    this.#afterWrite = then;
  }

  get perCpu(): boolean {
    return PER_CPU.has(this.info.type);
  }

  /** A copy of the value, or undefined when there is none. */
  lookup(key: Uint8Array): Uint8Array | undefined {
    this.#setKey(key);
    return this.lookupScratch() ? this.value.bytes.slice() : undefined;
  }

  update(key: Uint8Array, value: Uint8Array, mode: UpdateMode = "any"): void {
    this.#setKey(key);
    this.#checkSize("value", value, this.valueBytes);
    this.value.bytes.set(value);
    this.updateScratch(mode);
  }

  /** True when the key was there. */
  delete(key: Uint8Array): boolean {
    this.#setKey(key);
    return this.deleteScratch();
  }

  /** Reads the value of `key` into `value`; false when there is none. */
  lookupScratch(): boolean {
    const result = this.#open(this.#element).u64(24, 0n).try(BpfCommand.mapLookup);
    if (result < 0 && result !== -ENOENT) throw bpfError(-result, `look up in map ${this.name}`);
    return result >= 0;
  }

  updateScratch(mode: UpdateMode = "any"): void {
    const result = this.#open(this.#element).u64(24, MODES[mode]).try(BpfCommand.mapUpdate);
    this.#afterWrite?.();
    if (result < 0) throw bpfError(-result, `update map ${this.name}`);
    countMapWrites(this.name, "updates");
  }

  deleteScratch(): boolean {
    countMapWrites(this.name, "deletes");
    const result = this.#open(this.#delete).try(BpfCommand.mapDelete);
    this.#afterWrite?.();
    if (result < 0 && result !== -ENOENT) throw bpfError(-result, `delete from map ${this.name}`);
    return result >= 0;
  }

  /** All keys as they are while iterating; what changes meanwhile may be missed or, in a hash, seen twice. */
  *keys(): Generator<Uint8Array> {
    const next = block(this.info.keySize);
    const current = block(this.info.keySize);
    const attr = new BpfAttr(24).u32(0, this.fd.number).pointer(16, next);
    // A hash whose keys vanish while we walk starts over: bounded, as the map is.
    for (let seen = 0; seen <= this.info.maxEntries * 2 + 16; seen++) {
      const result = attr.try(BpfCommand.mapGetNextKey);
      if (result === -ENOENT) return;
      if (result < 0) throw bpfError(-result, `iterate map ${this.name}`);
      yield next.bytes.slice();
      current.bytes.set(next.bytes);
      attr.pointer(8, current);
    }
  }

  /** All elements; in batches where the map can. */
  *entries(): Generator<MapElement> {
    if (this.#batches) {
      this.#batches = yield* readInBatches(this);
      if (this.#batches) return;
    }
    for (const key of this.keys()) {
      const value = this.lookup(key);
      if (value !== undefined) yield [key, value];
    }
  }

  /** Writes many elements; `keys` and `values` stand one behind the other. */
  updateMany(keys: Uint8Array, values: Uint8Array): void {
    const count = Math.floor(keys.length / this.info.keySize);
    this.#checkSize("keys", keys, count * this.info.keySize);
    this.#checkSize("values", values, count * this.valueBytes);
    for (let done = this.#inBatches(() => updateInBatches(this, keys, values)); done < count; done++) {
      this.#batches = false;
      this.update(slot(keys, done, this.info.keySize), slot(values, done, this.valueBytes));
    }
  }

  /** Deletes many keys; ones that are not there are passed over. */
  deleteMany(keys: Uint8Array): void {
    const count = Math.floor(keys.length / this.info.keySize);
    this.#checkSize("keys", keys, count * this.info.keySize);
    for (let done = this.#inBatches(() => deleteInBatches(this, keys)); done < count; done++) {
      this.#batches = false;
      this.delete(slot(keys, done, this.info.keySize));
    }
  }

  /** User space can never write the map again; the verifier then knows its contents. */
  freeze(): void {
    new BpfAttr(4).u32(0, this.fd.number).call(BpfCommand.mapFreeze, `freeze map ${this.name}`);
  }

  /** Gives the map a path in a bpf file system; it lives on without us. @throws WeftError E_BPF_PIN */
  pin(path: string): void {
    pinObject(this.fd.number, path);
  }

  close(): void {
    this.fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** How many elements were written so. */
  #inBatches(write: () => number): number {
    if (!this.#batches) return 0;
    try {
      return write();
    } finally {
      this.#afterWrite?.();
    }
  }

  #setKey(key: Uint8Array): void {
    this.#checkSize("key", key, this.info.keySize);
    this.key.bytes.set(key);
  }

  #checkSize(what: string, bytes: Uint8Array, size: number): void {
    if (bytes.length === size) return;
    throw new WeftError("E_BPF_MAP", `map ${this.name}: ${what} has ${bytes.length} bytes, not ${size}`);
  }

  /** A closed map's fd may be someone else's by now. */
  #open(attr: BpfAttr): BpfAttr {
    if (this.fd.closed) throw new WeftError("E_BPF_MAP", `map ${this.name} is closed`);
    return attr;
  }
}

/** All maps of the machine that can still be opened, lowest id first. The caller closes each. */
export function* allMaps(): Generator<BpfMap> {
  for (let id = 0; ; ) {
    const next = new BpfAttr(12).u32(0, id);
    if (next.try(BpfCommand.mapGetNextId) < 0) return;
    id = next.getU32(4);
    try {
      yield BpfMap.openId(id);
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
    }
  }
}
