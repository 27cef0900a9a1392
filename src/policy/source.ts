// SPDX-License-Identifier: Apache-2.0
import type { LabelFilter } from "#identities/label-filter.ts";
import type { KubeClient } from "#k8s/client.ts";
import { createEventRecorder } from "#k8s/events.ts";
import { reflect } from "#k8s/reflect.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Database, Table, WritableTable } from "#store/table.ts";
import { cidrGroupRow } from "./from-cidr-group.ts";
import { withoutHosts } from "./host-policies.ts";
import { compileRow, type PolicyLanguage, policyLanguages } from "./languages.ts";
import { keepLastGood } from "./last-good.ts";
import type { Refusal } from "./limits.ts";
import { policyKey } from "./policy-key.ts";
import { tellRefusals } from "./refusal-events.ts";
import { startPolicyStatus } from "./status.ts";
import type { CidrGroup, PolicyRow } from "./table.ts";

export interface PolicySourceDeps {
  readonly client: KubeClient;
  readonly db: Database;
  /** As their objects say it. */
  readonly written: WritableTable<PolicyRow>;
  readonly cidrGroups: WritableTable<CidrGroup>;
  /** As they are in force, for their status. */
  readonly policies: Table<PolicyRow>;
  /** What this node has no room for: told in an Event of the object. */
  readonly refusals: Table<Refusal>;
  readonly nodeName: string;
  /** Of all nodes: see `status.ts`. */
  turnMs(): number;
  /** Labels that identities carry. */
  readonly keepsLabel?: LabelFilter;
  /** Policies may be about nodes; else they are refused. */
  readonly hostFirewall: boolean;
  readonly health: Health;
  readonly log: Logger;
}

/** Follows the objects of every policy language. A refused one is a row that says why, and has no rules but those it had before. */
export function startPolicySource(deps: PolicySourceDeps, signal: AbortSignal): AsyncDisposable {
  const { client, db, written, policies, health, log, keepsLabel } = deps;
  const common = { client, db, health, log, signal };
  const stack = new AsyncDisposableStack();
  for (const language of policyLanguages) {
    const toRow = (object: KubeObject) => {
      const row = policyRow(language, object, log, keepsLabel);
      return keepLastGood(deps.hostFirewall ? row : withoutHosts(row), written.get(policyKey(row)));
    };
    const { resource } = language;
    stack.use(reflect<KubeObject, PolicyRow>({ ...common, resource, table: written, toRow }));
  }
  stack.use(
    reflect<KubeObject, CidrGroup>({
      ...common,
      resource: resources.ciliumCidrGroups,
      table: deps.cidrGroups,
      toRow: cidrGroupRow,
    }),
  );
  const resourceOf = (kind: string) =>
    policyLanguages.find((language) => language.kind === kind && language.conditions)?.resource;
  stack.use(startPolicyStatus({ client, policies, resourceOf, health, log, turnMs: deps.turnMs }, signal));
  const events = createEventRecorder(client, log, { controller: "weft.io/agent", action: "Enforce" });
  const stop = tellRefusals({ ...deps, events });
  stack.defer(stop);
  return stack;
}

/** The row of an object of a language, refusals told in the log: see {@link compileRow}. */
export function policyRow(
  language: PolicyLanguage,
  object: KubeObject,
  log: Logger,
  keepsLabel?: LabelFilter,
): PolicyRow {
  const row = compileRow(language, object, keepsLabel);
  if (row.refused) {
    const { code, message: err } = row.refused;
    log.warn({ policy: policyKey(row), code, err }, "policy refused");
  }
  return row;
}
