// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "#agent/config.ts";
import type { datapathMaps } from "#datapath/maps.ts";
import type { LabelFilter } from "#identities/label-filter.ts";
import type { KubeClient } from "#k8s/client.ts";
import type { Netlink } from "#kernel/netlink/handle.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Family } from "#model/ip.ts";
import type { Node } from "#nodes/node.ts";
import type { Database } from "#store/table.ts";
import type { NodeDatapath } from "./agent-datapath.ts";
import type { AgentTables } from "./agent-tables.ts";

/** What the control of an agent begins with. */
export interface ControlDeps {
  readonly config: AgentConfig;
  readonly tables: AgentTables;
  readonly keepsLabel: LabelFilter;
  readonly client: KubeClient;
  readonly node: Node;
  readonly nodeDatapath: NodeDatapath;
  readonly netlink: Netlink;
  /** Where the agent reaches the API server. */
  readonly apiServer: URL;
  readonly health: Health;
  readonly log: Logger;
}

/** What every part of the control is given. */
export interface ControlContext extends ControlDeps {
  readonly db: Database;
  readonly maps: ReturnType<typeof datapathMaps>;
  readonly families: Family[];
  /** For whatever runs. */
  readonly common: { readonly db: Database; readonly health: Health; readonly log: Logger };
}
