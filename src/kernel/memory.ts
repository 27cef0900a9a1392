// SPDX-License-Identifier: Apache-2.0
import koffi from "koffi";
import { KernelError } from "#kernel/errno.ts";
import { errnoText, lastErrno } from "#kernel/libc.ts";

const lib = koffi.load("libc.so.6");
const mmap = lib.func("mmap", "intptr_t", ["uintptr_t", "size_t", "int", "int", "int", "int64_t"]);
const munmap = lib.func("munmap", "int", ["intptr_t", "size_t"]);

const trim = lib.func("malloc_trim", "int", ["size_t"]) as (keep: number) => number;

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;

/** Below this size V8 may keep the bytes of a typed array inside its heap, where they move. */
const SMALLEST_BLOCK = 128;

export const PAGE_SIZE = Number(lib.func("sysconf", "long", ["int"])(30));

/**
 * Memory whose address may be handed to the kernel: an ArrayBuffer of its own, which stays where it is as long as
 * something holds the block. `bytes` and `view` cover `size` bytes, zero at first.
 */
export interface Block {
  readonly address: number;
  readonly size: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
}

export function block(size: number): Block {
  const buffer = new ArrayBuffer(Math.max(size, SMALLEST_BLOCK));
  // User-space addresses have 47 bits (56 at most): exact as a double.
  const address = Number(koffi.address(buffer));
  return { address, size, bytes: new Uint8Array(buffer, 0, size), view: new DataView(buffer, 0, size) };
}

/** A block that holds a copy of `bytes`. */
export function blockOf(bytes: Uint8Array): Block {
  const made = block(bytes.length);
  made.bytes.set(bytes);
  return made;
}

/** A block that holds the text as UTF-8 and the zero byte that ends a C string. */
export function cString(text: string): Block {
  return blockOf(new TextEncoder().encode(`${text}\0`));
}

/** Writes an address (or any integer up to 2^53) as the 64-bit field the kernel expects of a pointer. */
export function setPointer(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
}

/** Gives the kernel back what the C library's allocator holds free, of all threads: by itself it gives only what lies at an end. */
export function trimAllocator(): void {
  trim(0);
}

/** Memory shared with the kernel. After `close` the buffer must not be touched any more: the process would fault. */
export interface Mapping extends Disposable {
  readonly buffer: ArrayBuffer;
  close(): void;
}

export interface MapMemoryOptions {
  readonly fd: number;
  readonly length: number;
  /** A multiple of {@link PAGE_SIZE}. */
  readonly offset?: number;
  readonly writable?: boolean;
  /** For the error: `map consumer page of ring buffer events`. */
  readonly what: string;
}

/** Maps a file (a BPF map) into memory. @throws KernelError E_SYSCALL */
export function mapMemory({ fd, length, offset = 0, writable = false, what }: MapMemoryOptions): Mapping {
  const protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  const address: number = mmap(0, length, protection, MAP_SHARED, fd, offset);
  if (address === -1) {
    const errno = lastErrno();
    throw new KernelError("E_SYSCALL", `${what}: ${errnoText(errno)}`, errno);
  }
  const buffer = koffi.view(BigInt(address), length);
  let open = true;
  const close = () => {
    if (open) munmap(address, length);
    open = false;
  };
  return { buffer, close, [Symbol.dispose]: close };
}
