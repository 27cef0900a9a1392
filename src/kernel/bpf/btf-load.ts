// SPDX-License-Identifier: Apache-2.0
import { type Btf, parseBtf } from "#kernel/bpf/btf.ts";
import { objectInfo } from "#kernel/bpf/info.ts";
import { BpfAttr, BpfCommand, bpfError } from "#kernel/bpf/sys.ts";
import { verifierError } from "#kernel/bpf/verifier-error.ts";
import { Fd } from "#kernel/fd.ts";
import { block, blockOf, setPointer } from "#kernel/memory.ts";

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

/** Not kept for its own sake: after a start nobody asks again. */
let last: { readonly id: number; readonly btf: WeakRef<Btf> } | undefined;

/** The types of an object in the kernel, by their id (`MapInfo.btfId`). @throws KernelError; WeftError E_BPF_OBJECT */
export function readKernelBtf(id: number): Btf {
  // Maps of one object share their types, and are asked for one after the other.
  const known = last?.id === id ? last.btf.deref() : undefined;
  if (known) return known;
  using fd = new Fd(new BpfAttr(12).u32(0, id).call(BpfCommand.btfGetFdById, `open BTF ${id}`), `btf ${id}`);
  const size = objectInfo(fd.number, block(32), "BTF").getUint32(8, true);
  const bytes = block(size);
  const info = block(32);
  setPointer(info.view, 0, bytes.address);
  info.view.setUint32(8, size, true);
  objectInfo(fd.number, info, "BTF");
  const btf = parseBtf(bytes.bytes);
  last = { id, btf: new WeakRef(btf) };
  return btf;
}
