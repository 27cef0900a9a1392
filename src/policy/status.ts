// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import type { Resource } from "#k8s/resource.ts";
import { pause } from "#lib/clock.ts";
import type { Health } from "#lib/health.ts";
import { startJob } from "#lib/jobs.ts";
import type { Logger } from "#lib/log.ts";
import type { Table } from "#store/table.ts";
import { conditionText, type PolicyCondition } from "./condition.ts";
import type { NeedKind } from "./rule.ts";
import type { PolicyRow } from "./table.ts";
import { tellCondition } from "./tell-condition.ts";

export interface PolicyStatusDeps {
  readonly client: KubeClient;
  readonly policies: Table<PolicyRow>;
  /** Where objects of a kind have a status; undefined: they have none. */
  resourceOf(kind: string): Resource | undefined;
  readonly health: Health;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  now?(): number;
  /** How long others may speak first: all nodes say the same, and who finds it said is silent. */
  turnMs?(): number;
}

/**
 * Tells in each object's status whether the policy is in force: condition `Valid`, with the reason when it is refused. Every agent would say the
 * same, so each waits for its turn and does nothing when it finds it said: of a thousand nodes the first one writes.
 */
export function startPolicyStatus(deps: PolicyStatusDeps, signal: AbortSignal): AsyncDisposable {
  const { policies, health, log } = deps;
  return startJob({
    name: "policy/status",
    signal,
    health,
    log,
    async run(abort, ok) {
      for await (const changes of policies.changes(abort)) {
        const untold = [...changes].filter(([, { kind, row }]) => kind === "put" && isUntold(deps, row));
        if (untold.length > 0) await pause(deps.turnMs?.() ?? 0, abort);
        for (const [key] of untold) {
          const row = policies.get(key);
          if (row && !abort.aborted) await report(deps, row, abort);
        }
        ok(`${policies.size} policies`);
      }
    },
  });
}

function isUntold({ resourceOf }: PolicyStatusDeps, row: PolicyRow): boolean {
  return resourceOf(row.kind) !== undefined && row.reported !== conditionText(conditionOf(row));
}

async function report(deps: PolicyStatusDeps, row: PolicyRow, signal: AbortSignal): Promise<void> {
  const { client, resourceOf, now = Date.now } = deps;
  const resource = resourceOf(row.kind);
  if (!resource || !isUntold(deps, row)) return;
  const { kind, namespace, name } = row;
  const told = { manager: "weft-agent", sinceMs: now(), signal };
  await tellCondition(client, { resource, kind, namespace, name }, conditionOf(row), told);
}

const stays = "what an earlier generation had in force stays where agents know it";

const needReasons: Readonly<Record<NeedKind, string>> = {
  proxy: "NeedsProxy",
  dns: "NeedsDNSProxy",
  tls: "NeedsTLSProxy",
  auth: "NeedsAuthentication",
};

function conditionOf({ refused, needs, generation, warnings = [] }: PolicyRow): PolicyCondition {
  if (!refused) {
    const message = ["Policy is in force", ...warnings].join("; ");
    return { type: "Valid", status: "True", reason: "InForce", message };
  }
  const missing = needs?.[0] && needReasons[needs[0]];
  const reason = missing ?? (refused.code === "E_POLICY_UNSUPPORTED" ? "Unsupported" : "Malformed");
  // The same on every node, whether it knows an earlier generation or not.
  const message = generation > 1 ? `${refused.message}; ${stays}` : refused.message;
  return { type: "Valid", status: "False", reason, message };
}
