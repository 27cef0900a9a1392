// SPDX-License-Identifier: Apache-2.0
import { aborted } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Table } from "#store/table.ts";
import type { AgentTables } from "./agent-tables.ts";

/** What keeps the agent from being ready, as its start goes on: for probes, CNI and the status. */
export class Readiness {
  #missing: () => string | undefined = () => "the agent starts";

  /** Undefined: it is ready. */
  readonly missing = (): string | undefined => this.#missing();

  /** Asked anew each time. */
  waitFor(what: () => string): void {
    this.#missing = what;
  }

  reached(): void {
    this.#missing = () => undefined;
  }
}

/** What of the cluster has not been read yet, for the pod's events and for CNI errors. */
export function unreadState(tables: AgentTables): string {
  const phase = "the cluster's state is being read";
  const open = firstTables(tables).filter((table) => !table.isReady);
  return open.length === 0 ? phase : `${phase} (${open.map((table) => table.name).join(", ")})`;
}

/** A service that can't be written must not keep the node from running pods. */
const firstStateMs = 5_000;

/**
 * Waits until the cluster's state has been read and is in the kernel: only then is a new pod judged, balanced and reached as it should be.
 */
export async function firstState(
  tables: AgentTables,
  control: { inKernel(signal: AbortSignal): Promise<unknown> },
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  await Promise.race([Promise.all(firstTables(tables).map((table) => table.ready)), aborted(signal)]);
  if (signal.aborted) return;
  try {
    await control.inKernel(AbortSignal.any([signal, AbortSignal.timeout(firstStateMs)]));
  } catch (error) {
    if (!signal.aborted)
      log.warn({ error: errorText(error) }, "not everything is in the kernel yet, going on");
  }
}

/** What must be known before a pod can be judged. */
function firstTables(tables: AgentTables): Table<unknown>[] {
  const { nodes, namespaces, policies, identities, endpointPolicies, frontends } = tables;
  return [nodes, namespaces, policies, identities, endpointPolicies, frontends];
}
