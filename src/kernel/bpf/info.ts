// SPDX-License-Identifier: Apache-2.0
import { stringAt } from "#kernel/bpf/elf.ts";
import { BpfAttr, BpfCommand } from "#kernel/bpf/sys.ts";
import { type Block, block } from "#kernel/memory.ts";

export interface MapInfo {
  readonly id: number;
  /** See `MapType`. */
  readonly type: number;
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly mapExtra: number;
  /** The BTF that describes keys and values, and their types in it; 0: not described. */
  readonly btfId: number;
  readonly keyType: number;
  readonly valueType: number;
}

export interface ProgramInfo {
  readonly id: number;
  /** See `ProgramType`. */
  readonly type: number;
  readonly name: string;
  /** SHA-1 of the instructions, first 8 bytes, hex: equal for equal programs. */
  readonly tag: string;
  /** Instructions after the verifier rewrote them. */
  readonly instructions: number;
  readonly jitedBytes: number;
  /** Instructions the verifier walked through. */
  readonly verifiedInstructions: number;
  /** Nanoseconds and runs; 0 unless statistics are on (`enableRunStats`). */
  readonly runTimeNs: bigint;
  readonly runs: bigint;
  readonly mapIds: readonly number[];
}

export interface LinkInfo {
  readonly id: number;
  /** `enum bpf_link_type` */
  readonly type: number;
  readonly programId: number;
  /** tcx and XDP: the device; 0 once it is gone. */
  readonly ifindex: number;
  /** Sockets of a map: the map; else 0. */
  readonly mapId: number;
  /** See `AttachType`; not known for XDP. */
  readonly attachType: number;
}

/** `enum bpf_link_type`. */
const LinkType = { cgroup: 3, netns: 5, xdp: 6, tcx: 11, sockmap: 14 } as const;

/** BPF_OBJ_GET_INFO_BY_FD: fills the block with what the kernel says of a map, program, link or BTF. @throws KernelError */
export function objectInfo(fd: number, info: Block, what: string): DataView {
  new BpfAttr(16)
    .u32(0, fd)
    .u32(4, info.size)
    .pointer(8, info)
    .call(BpfCommand.objGetInfoByFd, `read info of ${what}`);
  return info.view;
}

export function mapInfo(fd: number): MapInfo {
  const info = block(104);
  const view = objectInfo(fd, info, "map");
  return {
    type: view.getUint32(0, true),
    id: view.getUint32(4, true),
    keySize: view.getUint32(8, true),
    valueSize: view.getUint32(12, true),
    maxEntries: view.getUint32(16, true),
    flags: view.getUint32(20, true),
    name: stringAt(info.bytes.subarray(24, 40), 0),
    mapExtra: Number(view.getBigUint64(80, true)),
    btfId: view.getUint32(64, true),
    keyType: view.getUint32(68, true),
    valueType: view.getUint32(72, true),
  };
}

export function programInfo(fd: number): ProgramInfo {
  const sized = block(232);
  const count = objectInfo(fd, sized, "program").getUint32(52, true);
  const ids = block(count * 4);
  // The second time with room for the map ids, and nothing else asked for.
  const info = block(232);
  info.view.setUint32(52, count, true);
  if (count > 0) info.view.setBigUint64(56, BigInt(ids.address), true);
  const view = objectInfo(fd, info, "program");
  return {
    type: view.getUint32(0, true),
    id: view.getUint32(4, true),
    tag: Buffer.from(info.bytes.subarray(8, 16)).toString("hex"),
    jitedBytes: view.getUint32(16, true),
    instructions: view.getUint32(20, true) / 8,
    name: stringAt(info.bytes.subarray(64, 80), 0),
    runTimeNs: view.getBigUint64(192, true),
    runs: view.getBigUint64(200, true),
    verifiedInstructions: view.getUint32(216, true),
    mapIds: Array.from({ length: count }, (_, i) => ids.view.getUint32(i * 4, true)),
  };
}

export function linkInfo(fd: number): LinkInfo {
  const info = block(64);
  const view = objectInfo(fd, info, "link");
  const type = view.getUint32(0, true);
  const onDevice = type === LinkType.tcx || type === LinkType.xdp;
  const attachAt: Readonly<Record<number, number>> = {
    [LinkType.cgroup]: 24,
    [LinkType.netns]: 20,
    [LinkType.tcx]: 20,
    [LinkType.sockmap]: 20,
  };
  const at = attachAt[type];
  return {
    type,
    id: view.getUint32(4, true),
    programId: view.getUint32(8, true),
    ifindex: onDevice ? view.getUint32(16, true) : 0,
    mapId: type === LinkType.sockmap ? view.getUint32(16, true) : 0,
    attachType: at === undefined ? 0 : view.getUint32(at, true),
  };
}
