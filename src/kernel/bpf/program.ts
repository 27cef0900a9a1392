// SPDX-License-Identifier: Apache-2.0

import type { PickedRecords } from "#kernel/bpf/btf-ext.ts";
import { viewOf } from "#kernel/bpf/elf.ts";
import { type ProgramInfo, programInfo } from "#kernel/bpf/info.ts";
import { openPinned, pinObject } from "#kernel/bpf/pin.ts";
import type { ProgramSpec } from "#kernel/bpf/spec.ts";
import { BpfAttr, BpfCommand, bpfError } from "#kernel/bpf/sys.ts";
import { runProgram, type TestRun, type TestRunOptions } from "#kernel/bpf/test-run.ts";
import { verifierError } from "#kernel/bpf/verifier-error.ts";
import { hasErrno } from "#kernel/errno.ts";
import { Fd } from "#kernel/fd.ts";
import { type Block, block, blockOf, cString } from "#kernel/memory.ts";

const EAGAIN = 11;
const ENOSPC = 28;
const LOAD_TRIES = 5;
const FIRST_LOG = 256 * 1024;
const LARGEST_LOG = 16 * 1024 * 1024;

/** A program in the kernel. Owns its fd: the program goes when nothing else (a link, a pin) holds it. */
export class BpfProgram implements Disposable {
  readonly fd: Fd;
  readonly name: string;

  constructor(fd: Fd, name: string) {
    this.fd = fd;
    this.name = name;
  }

  static openPinned(path: string): BpfProgram {
    const fd = new Fd(openPinned(path, "prog"), `program ${path}`);
    return new BpfProgram(fd, programInfo(fd.number).name);
  }

  static openId(id: number): BpfProgram {
    const number = new BpfAttr(12).u32(0, id).call(BpfCommand.progGetFdById, `open program ${id}`);
    const fd = new Fd(number, `program ${id}`);
    return new BpfProgram(fd, programInfo(fd.number).name);
  }

  info(): ProgramInfo {
    return programInfo(this.fd.number);
  }

  /** Runs the program on a packet or context of ours (BPF_PROG_TEST_RUN). @throws KernelError */
  testRun(options: TestRunOptions): TestRun {
    return runProgram(this.fd.number, this.name, options);
  }

  /** @throws WeftError E_BPF_PIN; KernelError */
  pin(path: string): void {
    pinObject(this.fd.number, path);
  }

  close(): void {
    this.fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export interface LoadProgramOptions {
  readonly license: string;
  readonly btf: Fd | undefined;
  /** The fd of each map the program refers to, by name. */
  readonly mapFd: (name: string) => number;
}

/** Verifies and loads one program. @throws VerifierError E_BPF_VERIFIER with the log; KernelError */
export function loadProgram(spec: ProgramSpec, options: LoadProgramOptions): BpfProgram {
  const instructions = withMapFds(spec, options.mapFd);
  const attr = (log?: Block) => programAttr(spec, { ...options, instructions, log });
  let fd = attr().try(BpfCommand.progLoad);
  // A signal to the process (a profiler's, say) interrupts the verifier.
  for (let tries = 1; fd === -EAGAIN && tries < LOAD_TRIES; tries++) fd = attr().try(BpfCommand.progLoad);
  if (fd >= 0) return new BpfProgram(new Fd(fd, `program ${spec.name}`), spec.name);
  // Only now, for a log is slow to write: the same again for the verifier's words.
  for (let size = FIRST_LOG; ; size *= 4) {
    const log = block(size);
    const again = attr(log).try(BpfCommand.progLoad);
    if (again >= 0) return new BpfProgram(new Fd(again, `program ${spec.name}`), spec.name);
    if (again === -ENOSPC && size < LARGEST_LOG) continue;
    throw verifierError(spec.name, bpfError(-fd, `load program ${spec.name}`), log.bytes);
  }
}

function withMapFds(spec: ProgramSpec, mapFd: (name: string) => number): Block {
  const instructions = blockOf(spec.instructions);
  const view = viewOf(instructions.bytes);
  for (const { instruction, map } of spec.references) view.setUint32(instruction * 8 + 4, mapFd(map), true);
  return instructions;
}

interface ProgramAttr extends LoadProgramOptions {
  readonly instructions: Block;
  readonly log: Block | undefined;
}

function programAttr(spec: ProgramSpec, { license, btf, instructions, log }: ProgramAttr): BpfAttr {
  const attr = new BpfAttr(144)
    .u32(0, spec.kind.type)
    .u32(4, spec.instructions.length / 8)
    .pointer(8, instructions)
    .pointer(16, cString(license))
    .u32(44, spec.kind.flags)
    .name(48, spec.name)
    .u32(68, spec.kind.declaresAttachType ? spec.kind.attachType : 0);
  if (log !== undefined) attr.u32(24, 1).u32(28, log.size).pointer(32, log);
  if (btf === undefined || spec.functionInfo.count === 0) return attr;
  attr.u32(72, btf.number);
  const put = (records: PickedRecords, at: { size: number; pointer: number; count: number }) => {
    if (records.count === 0) return;
    attr
      .u32(at.size, records.recordSize)
      .pointer(at.pointer, blockOf(records.bytes))
      .u32(at.count, records.count);
  };
  put(spec.functionInfo, { size: 76, pointer: 80, count: 88 });
  put(spec.lineInfo, { size: 92, pointer: 96, count: 104 });
  put(spec.coreRelocations, { size: 136, pointer: 128, count: 116 });
  return attr;
}

/** Counts run time and runs of every program of the machine until the returned handle is closed (about 20 ns a run). */
export function enableRunStats(): Fd {
  return new Fd(
    new BpfAttr(4).u32(0, 0).call(BpfCommand.enableStats, "enable BPF run statistics"),
    "bpf run statistics",
  );
}

/** All programs of the machine whose id can still be opened, lowest id first. The caller closes each. */
export function* allPrograms(): Generator<BpfProgram> {
  for (let id = 0; ; ) {
    const attr = new BpfAttr(12).u32(0, id);
    if (attr.try(BpfCommand.progGetNextId) < 0) return;
    id = attr.getU32(4);
    try {
      yield BpfProgram.openId(id);
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
    }
  }
}
