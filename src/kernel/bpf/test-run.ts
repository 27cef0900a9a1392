// SPDX-License-Identifier: Apache-2.0
import { BpfAttr, BpfCommand, bpfError } from "#kernel/bpf/sys.ts";
import { block, blockOf } from "#kernel/memory.ts";

export interface TestRunOptions {
  /** The packet (from the Ethernet header on for tc and XDP); at least 14 bytes there. */
  readonly data?: Uint8Array;
  /** `struct __sk_buff`, `struct xdp_md`, `struct bpf_sk_lookup`… as the program sees it; see `skBuffContext`. */
  readonly context?: Uint8Array;
  readonly repeat?: number;
  /** Room for the packet as it comes out; default its size and 256 bytes more for what a program puts in front. */
  readonly dataOutSize?: number;
  /** `BPF_F_TEST_*` */
  readonly flags?: number;
}

export interface TestRun {
  /** What the program returned (unsigned: TC_ACT_UNSPEC is 0xffffffff). */
  readonly returned: number;
  readonly data: Uint8Array;
  readonly context: Uint8Array;
  /** Mean of one run, nanoseconds; coarse below some thousand repeats. */
  readonly durationNs: number;
}

const EINTR = 4;
const RUN_TRIES = 10;

/** BPF_PROG_TEST_RUN. @throws KernelError: ENOTSUPP (errno 524) for program types that cannot be run by hand */
export function runProgram(fd: number, name: string, options: TestRunOptions): TestRun {
  const { data, context, repeat = 1 } = options;
  const attr = new BpfAttr(80)
    .u32(0, fd)
    .u32(32, repeat)
    .u32(64, options.flags ?? 0);
  const dataOut = data === undefined ? undefined : block(options.dataOutSize ?? data.length + 256);
  if (data !== undefined && dataOut !== undefined) {
    attr.u32(8, data.length).pointer(16, blockOf(data)).u32(12, dataOut.size).pointer(24, dataOut);
  }
  const contextOut = context === undefined ? undefined : block(context.length);
  if (context !== undefined && contextOut !== undefined) {
    attr
      .u32(40, context.length)
      .pointer(48, blockOf(context))
      .u32(44, contextOut.size)
      .pointer(56, contextOut);
  }
  // A signal to the process ends a run of many repeats early.
  let result = attr.try(BpfCommand.progTestRun);
  for (let tries = 1; result === -EINTR && tries < RUN_TRIES; tries++)
    result = attr.try(BpfCommand.progTestRun);
  if (result < 0) throw bpfError(-result, `run program ${name}`);
  return {
    returned: attr.getU32(4),
    data: dataOut?.bytes.subarray(0, attr.getU32(12)) ?? new Uint8Array(),
    context: contextOut?.bytes.subarray(0, attr.getU32(44)) ?? new Uint8Array(),
    durationNs: attr.getU32(36),
  };
}

export interface SkBuffFields {
  readonly mark?: number;
  readonly priority?: number;
  readonly ingressIfindex?: number;
  readonly ifindex?: number;
  /** Host byte order numbers of the five `cb` words. */
  readonly cb?: readonly number[];
}

/** `struct __sk_buff` for a test run; only fields the kernel lets a test set (net/bpf/test_run.c). */
export function skBuffContext(fields: SkBuffFields): Uint8Array {
  const bytes = new Uint8Array(192);
  const view = new DataView(bytes.buffer);
  view.setUint32(8, fields.mark ?? 0, true);
  view.setUint32(32, fields.priority ?? 0, true);
  view.setUint32(36, fields.ingressIfindex ?? 0, true);
  view.setUint32(40, fields.ifindex ?? 0, true);
  fields.cb?.slice(0, 5).forEach((word, i) => {
    view.setUint32(48 + i * 4, word, true);
  });
  return bytes;
}

/** `struct xdp_md` for a test run: a whole frame of `length` bytes, as if it had come in by the device's first queue. */
export function xdpContext({ length, ifindex }: { length: number; ifindex: number }): Uint8Array {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setUint32(4, length, true);
  view.setUint32(12, ifindex, true);
  return bytes;
}
