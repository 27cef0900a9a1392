// SPDX-License-Identifier: Apache-2.0
import type { EventRecorder } from "#k8s/events.ts";
import type { Table } from "#store/table.ts";
import { policyLanguages } from "./languages.ts";
import type { Refusal } from "./limits.ts";
import type { PolicyRow } from "./table.ts";

export interface RefusalEventDeps {
  readonly policies: Table<PolicyRow>;
  readonly refusals: Table<Refusal>;
  readonly nodeName: string;
  readonly events: EventRecorder;
}

/**
 * Tells of each policy that this node has no room for in an Event of its object: `kubectl describe` shows it, with the node. Only nodes that
 * differ speak, and none writes what others write; the object's status, which is one for all nodes, stays what it is. Returns what ends it.
 */
export function tellRefusals({ policies, refusals, nodeName, events }: RefusalEventDeps): () => void {
  const told = new Map<string, string>();
  return refusals.onCommit((keys) => {
    for (const key of keys) {
      const refusal = refusals.get(key);
      const row = policies.get(key);
      if (!refusal || !row) {
        told.delete(key);
        continue;
      }
      // An edit that does not fit either is told anew; a count that moves by itself is not.
      const what = `${row.uid} ${row.generation} ${refusal.limit}`;
      if (told.get(key) === what) continue;
      told.set(key, what);
      const { kind, name, namespace, uid } = row;
      const apiVersion = policyLanguages.find((language) => language.kind === kind)?.apiVersion ?? "";
      const subject = { apiVersion, kind, name, uid, ...(namespace !== "" && { namespace }) };
      events.warn(subject, "PolicyTooLarge", `node ${nodeName}: ${refusal.message}`);
    }
  });
}
