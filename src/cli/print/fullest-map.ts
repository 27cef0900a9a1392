// SPDX-License-Identifier: Apache-2.0
import type { MapFill } from "#agent/api.ts";

/** `lb 10 %`; nothing where no map has room to speak of. */
export function fullestMap(maps: readonly MapFill[]): string {
  const [fullest] = maps
    .filter(({ maxEntries }) => maxEntries > 0)
    .map(({ name, entries, maxEntries }) => ({ name, share: entries / maxEntries }))
    .sort((a, b) => b.share - a.share);
  return fullest ? `${fullest.name} ${Math.round(fullest.share * 100)} %` : "";
}
