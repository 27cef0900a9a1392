// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { type MapInfo, mapInfo } from "#kernel/bpf/info.ts";
import { MapType, mapTypeName } from "#kernel/bpf/kinds.ts";
import { openPinned, pinObject } from "#kernel/bpf/pin.ts";
import { BpfAttr, BpfCommand, bpfError, ENOTSUPP } from "#kernel/bpf/sys.ts";
import { Fd } from "#kernel/fd.ts";
import { type Block, block } from "#kernel/memory.ts";
import { WeftError } from "#lib/errors.ts";

const ENOENT = 2;
const ENOSPC = 28;
const UNSUPPORTED = [22, 95, ENOTSUPP]; // EINVAL, EOPNOTSUPP

/** Elements per batch call: the buffers stay below a megabyte for common element sizes. */
const BATCH = 1024;

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
  #batches = true;

  constructor(fd: Fd) {
    this.fd = fd;
    this.info = mapInfo(fd.number);
    const padded = (this.info.valueSize + 7) & ~7;
    this.valueBytes = PER_CPU.has(this.info.type) ? padded * possibleCpus() : this.info.valueSize;
    this.key = block(this.info.keySize);
    this.value = block(this.valueBytes);
    this.#element = new BpfAttr(32).u32(0, fd.number).pointer(8, this.key).pointer(16, this.value);
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
    return this.#try(BpfCommand.mapLookup, 0n, "look up in") !== -ENOENT;
  }

  updateScratch(mode: UpdateMode = "any"): void {
    const result = this.#try(BpfCommand.mapUpdate, MODES[mode], "update");
    if (result < 0) throw bpfError(-result, `update map ${this.name}`);
  }

  deleteScratch(): boolean {
    return this.#try(BpfCommand.mapDelete, 0n, "delete from") !== -ENOENT;
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
  *entries(): Generator<readonly [key: Uint8Array, value: Uint8Array]> {
    if (this.#batches && this.info.type !== MapType.progArray) {
      const batches = this.#lookupBatches();
      for (let batch = batches.next(); ; batch = batches.next()) {
        if (batch.done === true) {
          if (batch.value) return;
          break;
        }
        yield* batch.value;
      }
      this.#batches = false;
    }
    for (const key of this.keys()) {
      const value = this.lookup(key);
      if (value !== undefined) yield [key, value];
    }
  }

  /** Returns true when the map was read to its end, false when it has no batch operations. */
  *#lookupBatches(): Generator<(readonly [Uint8Array, Uint8Array])[], boolean> {
    const { keySize } = this.info;
    let room = Math.min(BATCH, Math.max(this.info.maxEntries, 1));
    const tokens = [block(Math.max(keySize, 8)), block(Math.max(keySize, 8))] as const;
    for (let round = 0, first = true; ; round++) {
      const keys = block(room * keySize);
      const values = block(room * this.valueBytes);
      const attr = new BpfAttr(56)
        .pointer(0, first ? undefined : tokens[round & 1])
        .pointer(8, tokens[(round + 1) & 1])
        .pointer(16, keys)
        .pointer(24, values)
        .u32(32, room)
        .u32(36, this.fd.number);
      const result = attr.try(BpfCommand.mapLookupBatch);
      if (first && UNSUPPORTED.includes(-result)) return false;
      if (result === -ENOSPC) {
        // One hash bucket holds more than the buffer: the position is unchanged, try with more room.
        room *= 2;
        if (room > this.info.maxEntries * 4 + BATCH * 4) throw bpfError(ENOSPC, `read map ${this.name}`);
        tokens[(round + 1) & 1]!.bytes.set(tokens[round & 1]!.bytes);
        continue;
      }
      if (result < 0 && result !== -ENOENT) throw bpfError(-result, `read map ${this.name}`);
      const count = attr.getU32(32);
      const chunk: (readonly [Uint8Array, Uint8Array])[] = [];
      for (let i = 0; i < count; i++) {
        chunk.push([
          keys.bytes.slice(i * keySize, (i + 1) * keySize),
          values.bytes.slice(i * this.valueBytes, (i + 1) * this.valueBytes),
        ]);
      }
      yield chunk;
      if (result === -ENOENT) return true;
      first = false;
    }
  }

  /** Writes many elements; `keys` and `values` stand one behind the other. */
  updateMany(keys: Uint8Array, values: Uint8Array): void {
    const count = keys.length / this.info.keySize;
    this.#checkSize("keys", keys, count * this.info.keySize);
    this.#checkSize("values", values, count * this.valueBytes);
    this.#inBatches(count, { keys, values, command: BpfCommand.mapUpdateBatch, verb: "update" }, (i) => {
      this.update(
        keys.subarray(i * this.info.keySize, (i + 1) * this.info.keySize),
        values.subarray(i * this.valueBytes, (i + 1) * this.valueBytes),
      );
    });
  }

  /** Deletes many keys; ones that are not there are passed over. */
  deleteMany(keys: Uint8Array): void {
    const count = keys.length / this.info.keySize;
    this.#checkSize("keys", keys, Math.floor(count) * this.info.keySize);
    this.#inBatches(
      count,
      { keys, values: undefined, command: BpfCommand.mapDeleteBatch, verb: "delete from" },
      (i) => {
        this.delete(keys.subarray(i * this.info.keySize, (i + 1) * this.info.keySize));
      },
    );
  }

  #inBatches(count: number, job: BatchJob, one: (index: number) => void): void {
    let done = 0;
    while (done < count) {
      if (!this.#batches) {
        one(done++);
        continue;
      }
      const size = Math.min(BATCH, count - done);
      const { result, processed } = this.#batch(job, done, size);
      done += processed;
      if (result >= 0) continue;
      if (UNSUPPORTED.includes(-result) && processed === 0) {
        this.#batches = false;
      } else if (result === -ENOENT && job.command === BpfCommand.mapDeleteBatch) {
        done++; // The kernel stops at the first key that is not there.
      } else {
        throw bpfError(-result, `${job.verb} map ${this.name} (element ${done + 1} of ${count})`);
      }
    }
  }

  #batch(job: BatchJob, from: number, size: number): { result: number; processed: number } {
    const { keySize } = this.info;
    const keys = block(size * keySize);
    keys.bytes.set(job.keys.subarray(from * keySize, (from + size) * keySize));
    const attr = new BpfAttr(56).pointer(16, keys).u32(32, size).u32(36, this.fd.number);
    if (job.values !== undefined) {
      const values = block(size * this.valueBytes);
      values.bytes.set(job.values.subarray(from * this.valueBytes, (from + size) * this.valueBytes));
      attr.pointer(24, values);
    }
    const result = attr.try(job.command);
    // On EFAULT, and before the first element of an unsupported map, the count is untouched.
    const written = attr.getU32(32);
    return {
      result,
      processed: result < 0 && (written === size || UNSUPPORTED.includes(-result)) ? 0 : written,
    };
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

  #setKey(key: Uint8Array): void {
    this.#checkSize("key", key, this.info.keySize);
    this.key.bytes.set(key);
  }

  #checkSize(what: string, bytes: Uint8Array, size: number): void {
    if (bytes.length === size) return;
    throw new WeftError("E_BPF_MAP", `map ${this.name}: ${what} has ${bytes.length} bytes, not ${size}`);
  }

  /** 0 or -ENOENT, which is an answer. */
  #try(command: 1 | 2 | 3, flags: bigint, verb: string): number {
    if (this.fd.closed) throw new WeftError("E_BPF_MAP", `map ${this.name} is closed`);
    const result = this.#element.u64(24, flags).try(command);
    if (result < 0 && result !== -ENOENT) throw bpfError(-result, `${verb} map ${this.name}`);
    return result;
  }
}

interface BatchJob {
  readonly keys: Uint8Array;
  readonly values: Uint8Array | undefined;
  readonly command: typeof BpfCommand.mapUpdateBatch | typeof BpfCommand.mapDeleteBatch;
  readonly verb: string;
}
