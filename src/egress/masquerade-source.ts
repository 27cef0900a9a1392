// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { reflect } from "#k8s/reflect.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Database, WritableTable } from "#store/table.ts";
import { type MasqueradeExemption, masqueradeExemptions } from "./masquerade-list.ts";

/** The name that ip-masq-agent, and who does its work, looks for. */
const masqueradeConfigMap = "ip-masq-agent";

export interface ConfigMapObject extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export interface MasqueradeSourceDeps {
  readonly client: KubeClient;
  readonly db: Database;
  readonly exempt: WritableTable<MasqueradeExemption>;
  /** Of the ConfigMap: the agent's own. */
  readonly namespace: string;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
}

/** Follows the list of ip-masq-agent. Without the ConfigMap nothing is exempt; one that cannot be read changes nothing. */
export function startMasqueradeSource(deps: MasqueradeSourceDeps): AsyncDisposable {
  const { client, db, exempt, namespace, signal, health, log } = deps;
  return reflect<ConfigMapObject, MasqueradeExemption>({
    client,
    db,
    resource: resources.configMaps,
    namespace,
    fieldSelector: `metadata.name=${masqueradeConfigMap}`,
    source: "masquerade-list",
    table: exempt,
    toRow: masqueradeRows,
    signal,
    health,
    log,
  });
}

/** `config` is the key of Kubernetes' documentation and of Cilium's chart, the other the name of the file itself. */
export function masqueradeRows({ metadata, data }: ConfigMapObject): MasqueradeExemption[] {
  // A field selector is the server's to keep; one that ignores it would let any ConfigMap speak.
  if (metadata?.name !== masqueradeConfigMap) return [];
  return masqueradeExemptions(data?.["config"] ?? data?.["ip-masq-agent"] ?? "");
}
