// SPDX-License-Identifier: Apache-2.0

/** `enum bpf_map_type` of linux/bpf.h. */
export const MapType = {
  hash: 1,
  array: 2,
  progArray: 3,
  perfEventArray: 4,
  percpuHash: 5,
  percpuArray: 6,
  lruHash: 9,
  lruPercpuHash: 10,
  lpmTrie: 11,
  arrayOfMaps: 12,
  hashOfMaps: 13,
  devmap: 14,
  sockmap: 15,
  cpumap: 16,
  xskmap: 17,
  sockhash: 18,
  queue: 22,
  stack: 23,
  skStorage: 24,
  devmapHash: 25,
  ringbuf: 27,
  taskStorage: 29,
  cgroupStorage: 32,
} as const;

/** `enum bpf_prog_type`. */
export const ProgramType = {
  socketFilter: 1,
  schedCls: 3,
  xdp: 6,
  cgroupSkb: 8,
  cgroupSock: 9,
  sockOps: 13,
  skSkb: 14,
  skMsg: 16,
  rawTracepoint: 17,
  cgroupSockAddr: 18,
  cgroupSockopt: 25,
  skLookup: 30,
  syscall: 31,
} as const;

/** `enum bpf_attach_type`. */
export const AttachType = {
  none: 0,
  cgroupInetIngress: 0,
  cgroupInetEgress: 1,
  cgroupInetSockCreate: 2,
  cgroupSockOps: 3,
  skSkbStreamParser: 4,
  skSkbStreamVerdict: 5,
  skMsgVerdict: 7,
  cgroupInet4Bind: 8,
  cgroupInet6Bind: 9,
  cgroupInet4Connect: 10,
  cgroupInet6Connect: 11,
  cgroupInet4PostBind: 12,
  cgroupInet6PostBind: 13,
  cgroupUdp4Sendmsg: 14,
  cgroupUdp6Sendmsg: 15,
  cgroupUdp4Recvmsg: 19,
  cgroupUdp6Recvmsg: 20,
  cgroupSetsockopt: 22,
  cgroupInet4Getpeername: 29,
  cgroupInet6Getpeername: 30,
  cgroupInet4Getsockname: 31,
  cgroupInet6Getsockname: 32,
  cgroupInetSockRelease: 34,
  skLookup: 36,
  xdp: 37,
  tcxIngress: 46,
  tcxEgress: 47,
} as const;

/** `BPF_F_*` of map creation. */
export const MapFlag = {
  noPrealloc: 1,
  noCommonLru: 2,
  rdonlyProg: 1 << 7,
  mmapable: 1 << 10,
  innerMap: 1 << 12,
} as const;

const XDP_HAS_FRAGS = 1 << 5;

export interface ProgramKind {
  readonly type: number;
  /** Where the program attaches by default, see {@link AttachType}. */
  readonly attachType: number;
  /** The kernel checks the attach type at load already. */
  readonly declaresAttachType: boolean;
  readonly flags: number;
}

function kind(
  type: number,
  attachType = 0,
  options: { declares?: boolean; flags?: number } = {},
): ProgramKind {
  return { type, attachType, declaresAttachType: options.declares ?? false, flags: options.flags ?? 0 };
}

const declares = { declares: true };
const { schedCls, cgroupSockAddr, cgroupSock, cgroupSkb } = ProgramType;

/** What SEC("…") makes of a program; a name is matched whole, or up to its last slash when the entry ends in `/`. */
const SECTIONS: Readonly<Record<string, ProgramKind>> = {
  tc: kind(schedCls),
  classifier: kind(schedCls),
  "tc/ingress": kind(schedCls, AttachType.tcxIngress),
  "tc/egress": kind(schedCls, AttachType.tcxEgress),
  "tcx/ingress": kind(schedCls, AttachType.tcxIngress),
  "tcx/egress": kind(schedCls, AttachType.tcxEgress),
  xdp: kind(ProgramType.xdp, AttachType.xdp, declares),
  "xdp.frags": kind(ProgramType.xdp, AttachType.xdp, { declares: true, flags: XDP_HAS_FRAGS }),
  socket: kind(ProgramType.socketFilter),
  syscall: kind(ProgramType.syscall, 0, { flags: 1 << 4 }),
  sockops: kind(ProgramType.sockOps, AttachType.cgroupSockOps, declares),
  sk_msg: kind(ProgramType.skMsg, AttachType.skMsgVerdict, declares),
  "sk_skb/stream_parser": kind(ProgramType.skSkb, AttachType.skSkbStreamParser, declares),
  "sk_skb/stream_verdict": kind(ProgramType.skSkb, AttachType.skSkbStreamVerdict, declares),
  sk_lookup: kind(ProgramType.skLookup, AttachType.skLookup, declares),
  "cgroup_skb/ingress": kind(cgroupSkb, AttachType.cgroupInetIngress, declares),
  "cgroup_skb/egress": kind(cgroupSkb, AttachType.cgroupInetEgress, declares),
  "cgroup/sock_create": kind(cgroupSock, AttachType.cgroupInetSockCreate, declares),
  "cgroup/sock": kind(cgroupSock, AttachType.cgroupInetSockCreate, declares),
  "cgroup/sock_release": kind(cgroupSock, AttachType.cgroupInetSockRelease, declares),
  "cgroup/post_bind4": kind(cgroupSock, AttachType.cgroupInet4PostBind, declares),
  "cgroup/post_bind6": kind(cgroupSock, AttachType.cgroupInet6PostBind, declares),
  "cgroup/bind4": kind(cgroupSockAddr, AttachType.cgroupInet4Bind, declares),
  "cgroup/bind6": kind(cgroupSockAddr, AttachType.cgroupInet6Bind, declares),
  "cgroup/connect4": kind(cgroupSockAddr, AttachType.cgroupInet4Connect, declares),
  "cgroup/connect6": kind(cgroupSockAddr, AttachType.cgroupInet6Connect, declares),
  "cgroup/sendmsg4": kind(cgroupSockAddr, AttachType.cgroupUdp4Sendmsg, declares),
  "cgroup/sendmsg6": kind(cgroupSockAddr, AttachType.cgroupUdp6Sendmsg, declares),
  "cgroup/recvmsg4": kind(cgroupSockAddr, AttachType.cgroupUdp4Recvmsg, declares),
  "cgroup/recvmsg6": kind(cgroupSockAddr, AttachType.cgroupUdp6Recvmsg, declares),
  "cgroup/getpeername4": kind(cgroupSockAddr, AttachType.cgroupInet4Getpeername, declares),
  "cgroup/getpeername6": kind(cgroupSockAddr, AttachType.cgroupInet6Getpeername, declares),
  "cgroup/getsockname4": kind(cgroupSockAddr, AttachType.cgroupInet4Getsockname, declares),
  "cgroup/getsockname6": kind(cgroupSockAddr, AttachType.cgroupInet6Getsockname, declares),
  "cgroup/setsockopt": kind(ProgramType.cgroupSockopt, AttachType.cgroupSetsockopt, declares),
};

const TRACEPOINTS = ["raw_tp/", "raw_tracepoint/"];

/** The kind of program a section holds; undefined when the name means nothing (its functions are subprograms). */
export function programKind(section: string): ProgramKind | undefined {
  if (TRACEPOINTS.some((prefix) => section.startsWith(prefix))) return kind(ProgramType.rawTracepoint);
  return Object.hasOwn(SECTIONS, section) ? SECTIONS[section] : undefined;
}

/** `lpmTrie` for 11: for messages. */
export function mapTypeName(type: number): string {
  return Object.entries(MapType).find(([, number]) => number === type)?.[0] ?? `type ${type}`;
}
