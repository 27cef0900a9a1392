// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "#agent/config.ts";
import { shortcutPlaces } from "#datapath/shortcuts.ts";
import { possibleCpus } from "#kernel/bpf/map.ts";
import { serviceMapSizes } from "#services/capacity.ts";

/** Entries of the datapath's maps by name, where settings or the machine say how many. What is switched off takes next to nothing. */
export function mapSizes(
  config: Pick<AgentConfig, "services" | "l2Announcements">,
): Readonly<Record<string, number>> {
  return {
    ...serviceMapSizes(config.services),
    shortcuts: shortcutPlaces() * possibleCpus(),
    ...(!config.l2Announcements.enabled && { l2_responders: 1 }),
  };
}
