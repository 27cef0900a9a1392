// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { reflect } from "#k8s/reflect.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Database, WritableTable } from "#store/table.ts";
import { type EgressPolicy, egressPolicyRow } from "./policy.ts";

export interface EgressSourceDeps {
  readonly client: KubeClient;
  readonly db: Database;
  readonly policies: WritableTable<EgressPolicy>;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
}

/** Follows CiliumEgressGatewayPolicies. One that cannot be read leaves in force what it said before. */
export function startEgressSource({ policies, ...common }: EgressSourceDeps): AsyncDisposable {
  return reflect<KubeObject, EgressPolicy>({
    ...common,
    resource: resources.ciliumEgressGatewayPolicies,
    table: policies,
    toRow: egressPolicyRow,
  });
}
