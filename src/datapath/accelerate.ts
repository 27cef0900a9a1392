// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { addressLayout } from "#kernel/bpf/field-codec.ts";
import { AttachType } from "#kernel/bpf/kinds.ts";
import { attachCgroup, attachSockets as attachToMap, BpfLink } from "#kernel/bpf/link.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { BpfProgram } from "#kernel/bpf/program.ts";
import { perCpu, type TypedMap, typedMap, u32Layout, u64Layout } from "#kernel/bpf/typed-map.ts";
import { hasErrno } from "#kernel/errno.ts";
import type { Address } from "#model/ip.ts";
import type { AttachTarget } from "./attach-target.ts";
import { type Metric, metricLayout } from "./layouts/metric.ts";
import type { Datapath } from "./load.ts";
import { detachPinned, ensureLink } from "./persistent-link.ts";

const TRACK = "sock_track";
const REDIRECT = "sock_redirect";
const OPTION = "sock_option";

/**
 * Connections made from now on below the cgroup may go past the network. First the programs that decide for each message and option, then the one that
 * brings sockets to them. A socket keeps the program it met first: connections that are open go on past the network only under the same program
 * and maps, else through it, like all of them when this is switched off. The map of sockets stays pinned, for a socket that leaves it loses what its
 * process has not read.
 */
export function attachAcceleration(target: AttachTarget, cgroup: number): void {
  const { datapath, linksDir, log } = target;
  const before = earlierProgram(linksDir);
  if (!datapath.programs.has(REDIRECT)) {
    dropAcceleration(linksDir);
    return;
  }
  const decide = datapath.program(REDIRECT);
  const { fd, info } = datapath.map("sock_hash");
  const redirect = join(linksDir, REDIRECT);
  if (before && before.socketsId !== info.id) detachPinned(redirect);
  const attachType = AttachType.skMsgVerdict;
  ensureLink(redirect, decide, () => attachToMap({ program: decide, fd: fd.number, attachType }), { log });
  for (const [name, attachType] of [
    [OPTION, AttachType.cgroupSetsockopt],
    [TRACK, AttachType.cgroupSockOps],
  ] as const) {
    const program = datapath.program(name);
    ensureLink(join(linksDir, name), program, () => attachCgroup({ program, fd: cgroup, attachType }), {
      log,
    });
  }
  if (!before || isSame(before, datapath)) return;
  leaveToNetwork(before);
  log.info({}, "connections that went past the network go through it: the program is another");
}

/** Takes the programs off. All connections go through the network from now on. */
export function dropAcceleration(linksDir: string): void {
  const before = earlierProgram(linksDir);
  for (const name of [TRACK, OPTION, REDIRECT])
    try {
      detachPinned(join(linksDir, name));
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
    }
  if (before) leaveToNetwork(before);
}

interface EarlierProgram {
  readonly tag: string;
  readonly mapIds: readonly number[];
  /** Of the map of sockets it is attached to. */
  readonly socketsId: number;
}

function earlierProgram(linksDir: string): EarlierProgram | undefined {
  try {
    using link = BpfLink.openPinned(join(linksDir, REDIRECT));
    const { programId, mapId } = link.info();
    using program = BpfProgram.openId(programId);
    const { tag, mapIds } = program.info();
    return { tag, mapIds, socketsId: mapId };
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** What the program decides by, and whom it lets past. */
const MAPS = ["conntrack", "endpoints_by_addr", "sock_hash", "sock_ends"] as const;

function isSame(before: EarlierProgram, datapath: Datapath): boolean {
  if (datapath.program(REDIRECT).info().tag !== before.tag) return false;
  return MAPS.every((name) => before.mapIds.includes(datapath.map(name).info.id));
}

/** The program passes on to TCP whatever has no entry here; no byte is lost by that. Maps that are gone had no socket left that is judged by them. */
function leaveToNetwork({ mapIds }: EarlierProgram): void {
  for (const id of mapIds) {
    using map = openMap(id);
    if (map?.name === "sock_ends") for (const key of [...map.keys()]) map.delete(key);
  }
}

function openMap(id: number): BpfMap | undefined {
  try {
    return BpfMap.openId(id);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Whose sockets speak for an address: those of one network namespace, by its cookie. Addresses that are not here take no part. */
export function trustedSockets(datapath: Datapath): TypedMap<Address, bigint> {
  return typedMap(datapath.map("sock_pods"), addressLayout, u64Layout);
}

/** Messages (`packets`) of sockets that take part, and their bytes: what went past the network, and what was left to it. */
export interface AccelerationCounts {
  readonly past: Metric;
  readonly through: Metric;
}

/** Since the map was made: agents that come back go on counting. */
export function accelerationCounts(datapath: Pick<Datapath, "map">): AccelerationCounts {
  const counts = typedMap(datapath.map("sock_counts"), u32Layout, perCpu(metricLayout));
  const sum = (key: number) =>
    (counts.get(key) ?? []).reduce(
      (all, { packets, bytes }) => ({ packets: all.packets + packets, bytes: all.bytes + bytes }),
      { packets: 0n, bytes: 0n },
    );
  return { past: sum(0), through: sum(1) };
}
