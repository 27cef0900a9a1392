// SPDX-License-Identifier: Apache-2.0

import { arch } from "node:process";
import koffi from "koffi";
import { KernelError } from "#kernel/errno.ts";
import { errnoText, lastErrno } from "#kernel/libc.ts";
import { type Block, block, setPointer } from "#kernel/memory.ts";
import { WeftError } from "#lib/errors.ts";

const SYS_BPF: Readonly<Record<string, number>> = {
  x64: 321,
  arm64: 280,
  riscv64: 280,
  s390x: 351,
  ppc64: 361,
};

const rawSyscall = koffi.load("libc.so.6").func("syscall", "int", ["long", "int", "uintptr_t", "uint32_t"]);
const syscall = rawSyscall as (nr: number, command: number, attr: number, size: number) => number;

/** Commands of bpf(2), `enum bpf_cmd` of linux/bpf.h. */
export const BpfCommand = {
  mapCreate: 0,
  mapLookup: 1,
  mapUpdate: 2,
  mapDelete: 3,
  mapGetNextKey: 4,
  progLoad: 5,
  objPin: 6,
  objGet: 7,
  progTestRun: 10,
  progGetNextId: 11,
  mapGetNextId: 12,
  progGetFdById: 13,
  mapGetFdById: 14,
  objGetInfoByFd: 15,
  progQuery: 16,
  btfLoad: 18,
  btfGetFdById: 19,
  mapFreeze: 22,
  mapLookupBatch: 24,
  mapUpdateBatch: 26,
  mapDeleteBatch: 27,
  linkCreate: 28,
  linkUpdate: 29,
  linkGetFdById: 30,
  linkGetNextId: 31,
  enableStats: 32,
  linkDetach: 34,
} as const;
export type BpfCommand = (typeof BpfCommand)[keyof typeof BpfCommand];

const NR = SYS_BPF[arch];

/** What calls on other threads read: it must not go before they are over. */
const inFlight = new Set<BpfAttr>();

/**
 * `union bpf_attr` for one call: fields by their offset in linux/bpf.h, which is fixed for ever. Unset bytes are zero,
 * as the kernel demands. Holds on to the blocks it points to, so that they live until the call is over.
 */
export class BpfAttr {
  readonly #attr: Block = block(168);
  readonly #pointsTo: Block[] = [];
  readonly size: number;

  /** `size` = end of the last field used: older kernels refuse a longer one only when its tail is not zero. */
  constructor(size: number) {
    this.size = size;
  }

  u32(offset: number, value: number): this {
    this.#attr.view.setUint32(offset, value, true);
    return this;
  }

  u64(offset: number, value: bigint): this {
    this.#attr.view.setBigUint64(offset, value, true);
    return this;
  }

  pointer(offset: number, to: Block | undefined): this {
    if (to === undefined) return this;
    this.#pointsTo.push(to);
    setPointer(this.#attr.view, offset, to.address);
    return this;
  }

  /** Up to 15 bytes and a zero: object names are BPF_OBJ_NAME_LEN long. */
  name(offset: number, text: string): this {
    const clean = text.replace(/[^A-Za-z0-9_.]/g, "_").slice(0, 15);
    new TextEncoder().encodeInto(clean, this.#attr.bytes.subarray(offset, offset + 15));
    return this;
  }

  /** What the kernel wrote back. */
  getU32(offset: number): number {
    return this.#attr.view.getUint32(offset, true);
  }

  getU64(offset: number): bigint {
    return this.#attr.view.getBigUint64(offset, true);
  }

  /** The call itself: its result, or minus the errno. Never throws for what the kernel says. */
  try(command: BpfCommand): number {
    if (NR === undefined) throw new WeftError("E_NOT_SUPPORTED", `bpf(2) is not known for ${arch}`);
    const result = syscall(NR, command, this.#attr.address, this.size);
    return result >= 0 ? result : -lastErrno();
  }

  /** On a thread of libuv's pool: for what waits long in the kernel. The result, or -1: the errno is lost. */
  async tryInBackground(command: BpfCommand): Promise<number> {
    inFlight.add(this);
    try {
      return await new Promise((resolve, reject) => {
        const done = (error: Error | null, result: number) => (error ? reject(error) : resolve(result));
        rawSyscall.async(NR, command, this.#attr.address, this.size, done);
      });
    } finally {
      inFlight.delete(this);
    }
  }

  /** @throws KernelError E_SYSCALL; `what` names operation and object: `create map ct` */
  call(command: BpfCommand, what: string): number {
    const result = this.try(command);
    if (result < 0) throw bpfError(-result, what);
    return result;
  }
}

/** Kernel-internal errno that a few BPF operations let through; strerror does not know it. */
export const ENOTSUPP = 524;

export function bpfError(errno: number, what: string): KernelError {
  const text = errno === ENOTSUPP ? "operation not supported" : errnoText(errno);
  return new KernelError("E_SYSCALL", `${what}: ${text}`, errno);
}
