// SPDX-License-Identifier: Apache-2.0
import { AttachType, MapFlag, MapType, ProgramType } from "#kernel/bpf/kinds.ts";
import { BpfAttr, BpfCommand, ENOTSUPP } from "#kernel/bpf/sys.ts";
import { closeFd } from "#kernel/fd.ts";
import { blockOf, cString, PAGE_SIZE } from "#kernel/memory.ts";
import { WeftError } from "#lib/errors.ts";

const EINVAL = 22;
const ENODEV = 19;
const EBADF = 9;

/** Whether the kernel can: yes, no, or not to be found out this way (no rights, no memory). */
export type Verdict = boolean | undefined;

export interface Feature {
  readonly what: string;
  /** First Linux that has it. */
  readonly since: string;
  readonly probe: () => Verdict;
}

const flat = { keySize: 4, valueSize: 4, maxEntries: 1 };
const trie = { keySize: 8, valueSize: 4, maxEntries: 1, flags: MapFlag.noPrealloc };
const ring = { keySize: 0, valueSize: 0, maxEntries: PAGE_SIZE };
const { schedCls, cgroupSkb, skLookup, skMsg } = ProgramType;

/** What may be missing on a kernel that people run. */
export const features = {
  tcx: { what: "tcx links", since: "6.6", probe: () => linkToNowhere(schedCls, AttachType.tcxIngress) },
  cgroupLink: { what: "cgroup links", since: "5.7", probe: () => linkToNowhere(cgroupSkb, 0) },
  skLookup: { what: "sk_lookup", since: "5.9", probe: () => programLoads(skLookup, AttachType.skLookup) },
  sockmapLink: {
    what: "links to maps of sockets",
    since: "6.10",
    probe: () => linkToNowhere(skMsg, AttachType.skMsgVerdict),
  },
  ringbuf: { what: "ring buffers", since: "5.8", probe: () => mapCreates(MapType.ringbuf, ring) },
  lpmTrie: { what: "LPM tries", since: "4.11", probe: () => mapCreates(MapType.lpmTrie, trie) },
  mapInMap: { what: "maps in maps", since: "4.12", probe: probeMapInMap },
  mmapable: {
    what: "global variables in shared memory",
    since: "5.5",
    probe: () => mapCreates(MapType.array, { ...flat, flags: MapFlag.mmapable }),
  },
} as const satisfies Readonly<Record<string, Feature>>;

const known = new Map<Feature, boolean>();

/** Asks the kernel, not its version. Conclusive answers are kept; undefined when it could not be found out. */
export function haveFeature(feature: Feature): Verdict {
  const before = known.get(feature);
  if (before !== undefined) return before;
  const verdict = feature.probe();
  if (verdict !== undefined) known.set(feature, verdict);
  return verdict;
}

/**
 * The error to throw after an operation failed: E_NOT_SUPPORTED when the kernel lacks the feature, else `failure`.
 * Probing only after a failure keeps the good path free of it.
 */
export function explainFailure(feature: Feature | undefined, failure: unknown): unknown {
  if (feature === undefined || haveFeature(feature) !== false) return failure;
  return new NotSupportedError(feature, failure);
}

/** The kernel lacks something; `since` is the first Linux that has it. */
class NotSupportedError extends WeftError {
  readonly since: string;

  constructor({ what, since }: Feature, cause?: unknown) {
    super("E_NOT_SUPPORTED", `this kernel has no ${what} (Linux ${since} has)`, {
      cause,
      hint: `Run Linux ${since} or newer.`,
    });
    this.since = since;
  }
}

/** `r0 = 0; exit` */
const RETURN_ZERO = Uint8Array.from([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);

/** An fd of a program that does nothing, to try hooks with; below 0: the negated errno. */
export function loadNothing(type: number, attachType: number): number {
  return new BpfAttr(72)
    .u32(0, type)
    .u32(4, 2)
    .pointer(8, blockOf(RETURN_ZERO))
    .pointer(16, cString("GPL"))
    .u32(68, attachType)
    .try(BpfCommand.progLoad);
}

function programLoads(type: number, attachType: number): Verdict {
  return conclude(loadNothing(type, attachType));
}

/** Attaching to what does not exist: a kernel that knows the hook looks for the target, another refuses the hook. */
function linkToNowhere(type: number, attachType: number): Verdict {
  const program = loadNothing(type, type === ProgramType.schedCls ? 0 : attachType);
  if (program < 0) return conclude(program);
  const attr = new BpfAttr(32).u32(0, program).u32(4, 0x7fffffff).u32(8, attachType);
  const result = attr.try(BpfCommand.linkCreate);
  closeFd(program);
  if (result === -ENODEV || result === -EBADF) return true;
  return result === -EINVAL ? false : undefined;
}

interface MapShape {
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags?: number;
  readonly inner?: number;
}

function createMap(type: number, shape: MapShape): number {
  return new BpfAttr(24)
    .u32(0, type)
    .u32(4, shape.keySize)
    .u32(8, shape.valueSize)
    .u32(12, shape.maxEntries)
    .u32(16, shape.flags ?? 0)
    .u32(20, shape.inner ?? 0)
    .try(BpfCommand.mapCreate);
}

function mapCreates(type: number, shape: MapShape): Verdict {
  return conclude(createMap(type, shape));
}

function probeMapInMap(): Verdict {
  const inner = createMap(MapType.hash, flat);
  if (inner < 0) return undefined;
  const verdict = mapCreates(MapType.hashOfMaps, { ...flat, inner });
  closeFd(inner);
  return verdict;
}

/** Closes what was made for the question. */
function conclude(result: number): Verdict {
  if (result >= 0) {
    closeFd(result);
    return true;
  }
  return result === -EINVAL || result === -ENOTSUPP ? false : undefined;
}
