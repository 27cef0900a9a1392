// SPDX-License-Identifier: Apache-2.0
import { Revision } from "#datapath/layouts/enums.ts";
import { type BpfMap, possibleCpus } from "#kernel/bpf/map.ts";

/** Of the map `shortcuts`, `bpf/lib/shortcut.h`, 128 bytes each: 1 MB for each CPU, and 4 MB in all where there are many. */
const mostPlaces = 8192;
const leastPlaces = 1024;
const placesOfAll = 32_768;

/** What a flow's way through a node rests on, of all that user space writes. */
const foundations = [
  "lb_frontends",
  "lb_backends",
  "lb_reverse",
  "lb_source_ranges",
  "endpoints_by_addr",
  "ipcache",
  "conntrack",
  "nat_sets",
] as const;

/** Places for each CPU: a power of two. */
export function shortcutPlaces(cpus = possibleCpus()): number {
  const fair = 2 ** Math.floor(Math.log2(placesOfAll / cpus));
  return Math.min(mostPlaces, Math.max(leastPlaces, fair));
}

/** What copies of endpoints' rows are made of: `bpf/lib/near.h`. */
const endpoints = ["endpoints_by_ifindex", "endpoints_by_addr"] as const;

/**
 * From now on each write to what shortcuts, or copies of endpoints' rows, rest on puts all of them out of force. Those an earlier agent
 * left are so within a second.
 */
export function reviseShortcuts(maps: ReadonlyMap<string, BpfMap>): void {
  const revisions = maps.get("revisions");
  if (!revisions) return;
  const after = new Map<string, (() => void)[]>();
  for (const [place, names] of [
    [Revision.shortcuts, foundations],
    [Revision.endpoints, endpoints],
  ] as const) {
    const revise = reviser(revisions, place);
    for (const name of names) after.set(name, [...(after.get(name) ?? []), revise]);
  }
  for (const [name, all] of after)
    maps.get(name)?.onWrite(() => {
      for (const revise of all) revise();
    });
}

function reviser(revisions: BpfMap, place: number): () => void {
  const key = new Uint8Array(Uint32Array.of(place).buffer);
  const value = new Uint32Array(revisions.lookup(key)!.slice().buffer);
  return () => {
    value[0] = value[0]! + 1;
    revisions.update(key, new Uint8Array(value.buffer));
  };
}
