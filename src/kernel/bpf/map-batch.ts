// SPDX-License-Identifier: Apache-2.0
import { countMapWrites } from "#kernel/bpf/map-writes.ts";
import { BpfAttr, BpfCommand, bpfError, ENOTSUPP } from "#kernel/bpf/sys.ts";
import { type Block, block } from "#kernel/memory.ts";

/** What the batch operations need of a `BpfMap`. */
interface BatchMap {
  readonly name: string;
  readonly info: { readonly keySize: number; readonly maxEntries: number };
  readonly valueBytes: number;
  readonly fd: { readonly number: number };
}

export type MapElement = readonly [key: Uint8Array, value: Uint8Array];

const ENOENT = 2;
const EINVAL = 22;
const ENOSPC = 28;
const EOPNOTSUPP = 95;

/** Elements per call: the buffers stay below a megabyte for common element sizes. */
const BATCH = 1024;

/** What a kernel answers that has no batch operation for the type of map. */
function isUnsupported(result: number): boolean {
  return result === -EINVAL || result === -EOPNOTSUPP || result === -ENOTSUPP;
}

/** The bytes of element `index` in a row of them. */
export function slot(bytes: Uint8Array, index: number, size: number): Uint8Array {
  return bytes.subarray(index * size, (index + 1) * size);
}

/** All elements of a map. Returns false, having yielded none, when the map has no batch operations. */
export function* readInBatches(map: BatchMap): Generator<MapElement, boolean> {
  const { keySize, maxEntries } = map.info;
  // The position is a bucket number of 4 bytes, or a key.
  let from: Block | undefined;
  let to = block(Math.max(keySize, 8));
  for (let room = Math.min(BATCH, Math.max(maxEntries, 1)); ; ) {
    const keys = block(room * keySize);
    const values = block(room * map.valueBytes);
    const attr = new BpfAttr(56).pointer(0, from).pointer(8, to).pointer(16, keys).pointer(24, values);
    const result = attr.u32(32, room).u32(36, map.fd.number).try(BpfCommand.mapLookupBatch);
    if (from === undefined && isUnsupported(result)) return false;
    if (result === -ENOSPC && room < maxEntries + BATCH) {
      // One bucket of the hash holds more than there is room for; the position has not moved.
      room *= 2;
      continue;
    }
    if (result < 0 && result !== -ENOENT) throw bpfError(-result, `read map ${map.name}`);
    for (let i = 0, count = attr.getU32(32); i < count; i++) {
      yield [slot(keys.bytes, i, keySize), slot(values.bytes, i, map.valueBytes)];
    }
    if (result === -ENOENT) return true;
    [from, to] = [to, from ?? block(Math.max(keySize, 8))];
  }
}

/** Writes all; returns how many it did: fewer than all only when the map has no batch operations. @throws KernelError */
export function updateInBatches(map: BatchMap, keys: Uint8Array, values: Uint8Array): number {
  const count = keys.length / map.info.keySize;
  for (let done = 0; done < count; ) {
    const size = Math.min(BATCH, count - done);
    const attr = batchAttr(map, keys, done, size);
    const some = block(size * map.valueBytes);
    some.bytes.set(values.subarray(done * map.valueBytes, (done + size) * map.valueBytes));
    const result = attr.pointer(24, some).try(BpfCommand.mapUpdateBatch);
    if (isUnsupported(result)) return done;
    countMapWrites(map.name, "updates", size);
    done += processed(attr, result, size);
    if (result < 0) throw bpfError(-result, `update map ${map.name} (element ${done + 1} of ${count})`);
  }
  return count;
}

/** Deletes all keys that are there; returns as {@link updateInBatches}. @throws KernelError */
export function deleteInBatches(map: BatchMap, keys: Uint8Array): number {
  const count = keys.length / map.info.keySize;
  for (let done = 0; done < count; ) {
    const size = Math.min(BATCH, count - done);
    const attr = batchAttr(map, keys, done, size);
    const result = attr.try(BpfCommand.mapDeleteBatch);
    if (isUnsupported(result)) return done;
    countMapWrites(map.name, "deletes", size);
    done += processed(attr, result, size);
    // The kernel stops at the first key that is not there.
    if (result === -ENOENT) done++;
    else if (result < 0)
      throw bpfError(-result, `delete from map ${map.name} (element ${done + 1} of ${count})`);
  }
  return count;
}

function batchAttr(map: BatchMap, keys: Uint8Array, from: number, size: number): BpfAttr {
  const some = block(size * map.info.keySize);
  some.bytes.set(keys.subarray(from * map.info.keySize, (from + size) * map.info.keySize));
  return new BpfAttr(56).pointer(16, some).u32(32, size).u32(36, map.fd.number);
}

/** A failure before the first element leaves the count as it was given. */
function processed(attr: BpfAttr, result: number, size: number): number {
  const written = attr.getU32(32);
  return result < 0 && written === size ? 0 : written;
}
