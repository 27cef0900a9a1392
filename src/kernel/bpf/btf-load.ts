// SPDX-License-Identifier: Apache-2.0
import { BpfAttr, BpfCommand, bpfError } from "#kernel/bpf/sys.ts";
import { verifierError } from "#kernel/bpf/verifier-error.ts";
import { Fd } from "#kernel/fd.ts";
import { block, blockOf } from "#kernel/memory.ts";

/** Gives the kernel the types of an object. @throws VerifierError with the kernel's log of what is wrong */
export function loadBtf(bytes: Uint8Array): Fd {
  const attr = () => new BpfAttr(28).pointer(0, blockOf(bytes)).u32(16, bytes.length);
  const result = attr().try(BpfCommand.btfLoad);
  if (result >= 0) return new Fd(result, "btf");
  const log = block(256 * 1024);
  const again = attr().pointer(8, log).u32(20, log.size).u32(24, 1).try(BpfCommand.btfLoad);
  if (again >= 0) return new Fd(again, "btf");
  throw verifierError("BTF", bpfError(-result, "load BTF"), log.bytes);
}
