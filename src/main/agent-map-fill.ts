// SPDX-License-Identifier: Apache-2.0
import type { MapFill } from "#agent/api.ts";
import { family } from "#model/ip.ts";
import { policyCapacity } from "#policy/ops.ts";
import { mostCidrs } from "#prefilter/cidrs.ts";
import { hasTable } from "#services/entries.ts";
import { rowsOf } from "#services/slot-rows.ts";
import type { AgentTables } from "./agent-tables.ts";

type Counted = Pick<
  AgentTables,
  | "ipcache"
  | "blocks"
  | "egress"
  | "masqueradeExempt"
  | "datapathEndpoints"
  | "policyMaps"
  | "frontends"
  | "l2Announcements"
>;

/**
 * How full the maps are that refuse what does not fit, by what the agent wants in them: it is their only writer. Conntrack, nat and the
 * like are none of them: there the oldest entry makes room, and entries past their time stay until then.
 * `maxEntries`: of the kernel's map of that name.
 */
export function mapFill(
  tables: Counted,
  prefilter: { readonly size: number },
  maxEntries: (map: string) => number,
): () => readonly MapFill[] {
  const { ipcache, blocks, egress, masqueradeExempt, datapathEndpoints, policyMaps, frontends } = tables;
  const lb = whenChanged(frontends, () => countFrontends(frontends.all()));
  const largestPolicy = whenChanged(policyMaps, () => {
    let largest = 0;
    for (const { entries } of policyMaps.all()) largest = Math.max(largest, entries.length);
    return largest;
  });
  const fill = (name: string, entries: number, map = name): MapFill => ({
    name,
    ...(map !== name && { map }),
    entries,
    maxEntries: maxEntries(map),
  });
  return () => [
    fill("endpoints", datapathEndpoints.size, "endpoints_by_ifindex"),
    fill("ipcache", ipcache.size),
    fill("blocks", blocks.size),
    fill("egress", egress.size),
    fill("masquerade_exempt", masqueradeExempt.size, "masq_exempt"),
    fill("policy_maps", policyMaps.size, "policies"),
    { name: "policy_entries", entries: largestPolicy(), maxEntries: policyCapacity },
    fill("lb_frontends", frontends.size),
    fill("lb_slots", lb().slots),
    fill("lb_backends", lb().backends),
    fill("lb_tables", lb().tables),
    fill("lb_source_ranges", lb().ranges),
    fill("l2_responders", tables.l2Announcements.size),
    { name: "prefilter", entries: prefilter.size, maxEntries: mostCidrs },
  ];
}

/** Counted anew only when the table is another by now: it is asked for often, and changes seldom. */
function whenChanged<T>(table: { readonly revision: number }, count: () => T): () => T {
  let known: { readonly revision: number; readonly value: T } | undefined;
  return () => {
    const { revision } = table;
    if (known?.revision !== revision) known = { revision, value: count() };
    return known.value;
  };
}

function countFrontends(rows: ReturnType<Counted["frontends"]["all"]>) {
  const tuples = new Set<string>();
  // A service port's addresses of one family mostly share one.
  const tables = new Set<string>();
  let slots = 0;
  let ranges = 0;
  for (const row of rows) {
    const {
      namespace,
      name,
      portName,
      address,
      scope = "",
      backends,
      draining = [],
      sourceRanges = [],
    } = row;
    if (hasTable(row)) tables.add(`${namespace} ${name} ${portName} ${scope} ${family(address)}`);
    slots += rowsOf(backends.length + draining.length);
    ranges += sourceRanges.length;
    // A backend that several frontends share is one.
    for (const list of [backends, draining])
      for (const { address, port, proto } of list) tuples.add(`${address} ${port} ${proto}`);
  }
  return { slots, ranges, backends: tuples.size, tables: tables.size };
}
