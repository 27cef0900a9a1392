// SPDX-License-Identifier: Apache-2.0
import { LeaseHolder } from "#election/holder.ts";
import type { KubeClient } from "#k8s/client.ts";
import { monotonicClock } from "#lib/clock.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { l2LeaseLabel } from "#model/leases.ts";
import type { Node } from "#nodes/node.ts";
import { startController } from "#store/controller.ts";
import type { Reconciler } from "#store/reconciler.ts";
import type { Database, Table, Transaction, WritableTable } from "#store/table.ts";
import { answerKey, type L2Candidate, type L2Policy, l2Candidates, leaseName } from "./l2-policy.ts";
import { L2Scene } from "./l2-scene.ts";
import type { L2Announcement } from "./l2-table.ts";
import type { EndpointSlice, Service } from "./table.ts";

export interface L2Tables {
  readonly services: Table<Service>;
  readonly endpointSlices: Table<EndpointSlice>;
  readonly nodes: Table<Node>;
  readonly l2Policies: Table<L2Policy>;
  /** Written: what this node answers for. */
  readonly l2Announcements: WritableTable<L2Announcement>;
}

export interface L2AnnouncerDeps {
  readonly db: Database;
  readonly tables: L2Tables;
  readonly client: KubeClient;
  /** Of the Leases: the agents'. */
  readonly namespace: string;
  readonly nodeName: string;
  readonly leaseSec: number;
  /** Names of the devices on which the node may answer. */
  readonly devices: readonly string[];
  /** Of the announcements. */
  readonly reconciler: Pick<Reconciler, "waitUntil">;
  readonly health: Health;
  readonly log: Logger;
}

/**
 * Policies × Services × this node → addresses the node may announce; of the nodes that may, the one that holds the address's Lease does. It
 * answers until shortly before the Lease may be another's, so never two do. An agent that ends leaves everything as it is: the one that comes
 * back goes on, and if none does in a Lease's time, another node takes over.
 */
export function startL2Announcer(deps: L2AnnouncerDeps, signal: AbortSignal): AsyncDisposable {
  const { db, health, log } = deps;
  const { l2Announcements, services, endpointSlices, nodes, l2Policies } = deps.tables;
  const output = l2Announcements.source("l2-announcer");
  const scene = new L2Scene(deps.nodeName);
  const held = new Map<string, number>();
  let candidates = new Map<string, L2Candidate>();
  const announce = (tx: Transaction, lease: string, candidate: L2Candidate, devices: readonly string[]) => {
    const untilSec = held.get(lease);
    const { address, service } = candidate;
    for (const device of devices) {
      const row = { address, device, service, untilSec: untilSec ?? 0 };
      if (untilSec !== undefined && candidate.devices.includes(device)) tx.put(l2Announcements, row);
      else tx.delete(l2Announcements, answerKey(row));
    }
  };
  const holder = new LeaseHolder({
    client: deps.client,
    namespace: deps.namespace,
    label: l2LeaseLabel,
    identity: deps.nodeName,
    leaseMs: deps.leaseSec * 1000,
    part: "l2-leases",
    signal,
    health,
    log,
    onHeld(lease, untilMs) {
      if (untilMs === undefined) held.delete(lease);
      else held.set(lease, monotonicSec(untilMs));
      const candidate = candidates.get(lease);
      if (candidate) db.write((tx) => announce(tx, lease, candidate, deps.devices));
    },
    async ended() {
      await l2Announcements.ready;
      await deps.reconciler.waitUntil(l2Announcements.revision, signal);
    },
  });
  void holder.settled.then(() => output.synced());
  const controller = startController({
    name: "l2-announcer",
    inputs: { services, endpointSlices, nodes, l2Policies },
    signal,
    health,
    log,
    run(changes) {
      if (!scene.take(changes)) return `${candidates.size} address(es) this node may announce`;
      const before = candidates;
      const node = { ...scene.node, devices: deps.devices };
      const now = scene.leaving ? [] : l2Candidates(scene.services(), [...l2Policies.all()], node);
      candidates = new Map(now.map((candidate) => [leaseName(candidate.address), candidate]));
      db.write((tx) => {
        for (const [lease, candidate] of before)
          if (!candidates.has(lease)) announce(tx, lease, { ...candidate, devices: [] }, deps.devices);
        for (const [lease, candidate] of candidates) announce(tx, lease, candidate, deps.devices);
      });
      holder.want(new Set(candidates.keys()));
      return `${candidates.size} address(es) this node may announce`;
    },
  });
  return {
    async [Symbol.asyncDispose]() {
      await controller[Symbol.asyncDispose]();
      holder[Symbol.dispose]();
    },
  };
}

/** The holder's clock and the datapath's are one, but for where they begin. */
function monotonicSec(atMs: number): number {
  const nowMs = Number(process.hrtime.bigint() / 1_000_000n);
  return Math.floor((nowMs + atMs - monotonicClock.now()) / 1000);
}
