// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
import { type L2Responder, l2ResponderLayout } from "#datapath/layouts/l2-responder.ts";
import { type L2ResponderKey, l2ResponderKeyLayout } from "#datapath/layouts/l2-responder-key.ts";
import type { BpfMap } from "#kernel/bpf/map.ts";
import { type TypedMap, typedMap } from "#kernel/bpf/typed-map.ts";
import { joinGroup, sendFrames } from "#kernel/packet-socket.ts";
import { type Clock, systemClock } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { type Address, family } from "#model/ip.ts";
import { type Reconciler, type ReconcilerOps, startReconciler } from "#store/reconciler.ts";
import type { Database, Table } from "#store/table.ts";
import { announcements, solicitedNodeGroup } from "./l2-frames.ts";
import { answerKey } from "./l2-policy.ts";
import type { L2Announcement } from "./l2-table.ts";

/** A device of the node that is on a wire with others. */
export interface L2Device {
  readonly name: string;
  readonly ifindex: number;
  readonly mac: string;
}

export interface L2ReconcilerDeps {
  readonly db: Database;
  readonly announced: Table<L2Announcement>;
  /** `l2_responders` */
  readonly map: BpfMap;
  readonly devices: readonly L2Device[];
  readonly health: Health;
  readonly log: Logger;
  readonly clock?: Clock;
}

interface Entry {
  readonly address: Address;
  readonly device: L2Device;
  readonly untilSec: number;
}

/** A frame may be lost, and a host that has just learnt another place holds to it for a second (net.ipv4.neigh.*.locktime). */
const announceAgainMs = [1_100, 3_000];

/** Keeps `l2_responders` equal to what this node announces, tells the wire of what is new, and takes part in the groups that questions go to. */
export function startL2Reconciler(deps: L2ReconcilerDeps, signal: AbortSignal): Reconciler {
  const { db, announced, devices, health, log } = deps;
  const byName = new Map(devices.map((device) => [device.name, device]));
  const ops = new L2Ops(deps, signal);
  const reconciler = startReconciler<L2Announcement, Entry>({
    name: "l2-announcements",
    table: announced,
    db,
    encode: ({ address, device, untilSec }) => ({ address, device: byName.get(device)!, untilSec }),
    same: (actual, wanted) => actual.untilSec === wanted.untilSec && actual.device.mac === wanted.device.mac,
    ops,
    signal,
    health,
    log,
  });
  return {
    status: reconciler.status,
    waitUntil: (revision, until) => reconciler.waitUntil(revision, until),
    settled: (key, until) => reconciler.settled(key, until),
    async [Symbol.asyncDispose]() {
      await reconciler[Symbol.asyncDispose]();
      ops[Symbol.dispose]();
    },
  };
}

class L2Ops implements ReconcilerOps<Entry>, Disposable {
  readonly #deps: L2ReconcilerDeps;
  readonly #signal: AbortSignal;
  readonly #map: TypedMap<L2ResponderKey, L2Responder>;
  /** Memberships in groups, by answer: file descriptors. */
  readonly #groups = new Map<string, number>();
  /** Answers the wire knows of; what cancels further announcements. */
  readonly #told = new Map<string, () => void>();

  constructor(deps: L2ReconcilerDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
    this.#map = typedMap(deps.map, l2ResponderKeyLayout, l2ResponderLayout);
  }

  list(): Map<string, Entry> {
    const found = new Map<string, Entry>();
    const nowSec = Number(process.hrtime.bigint() / 1_000_000_000n);
    for (const [{ addr, ifindex }, { until, mac }] of this.#map.entries()) {
      const known = this.#deps.devices.find((device) => device.ifindex === ifindex);
      const device = { name: known?.name ?? `#${ifindex}`, ifindex, mac };
      const key = answerKey({ address: addr, device: device.name });
      found.set(key, { address: addr, device, untilSec: until });
      // Of an agent before this one, and still answered for: nobody has to be told.
      if (until > nowSec && !this.#told.has(key)) this.#told.set(key, () => {});
    }
    return found;
  }

  update(batch: ReadonlyMap<string, Entry>): undefined {
    this.#map.setMany(
      [...batch.values()].map(({ address, device: { ifindex, mac }, untilSec }) => [
        { addr: address, ifindex },
        { mac, until: untilSec },
      ]),
    );
    for (const [key, entry] of batch) {
      if (family(entry.address) === 6 && !this.#groups.has(key)) this.#join(key, entry);
      if (!this.#told.has(key)) this.#tell(key, entry);
    }
  }

  delete(batch: ReadonlyMap<string, Entry>): undefined {
    this.#map.deleteMany(
      [...batch.values()].map(({ address, device: { ifindex } }) => ({ addr: address, ifindex })),
    );
    for (const key of batch.keys()) {
      this.#told.get(key)?.();
      this.#told.delete(key);
      const group = this.#groups.get(key);
      if (group !== undefined) closeSync(group);
      this.#groups.delete(key);
    }
  }

  /** Else devices and switches that watch groups keep questions for the address away. Not fatal: many deliver everything. */
  #join(key: string, { address, device }: Entry): void {
    try {
      this.#groups.set(key, joinGroup(device, solicitedNodeGroup(address)));
    } catch (thrown) {
      this.#deps.log.warn(
        { address, device: device.name, err: errorText(thrown) },
        "cannot join the group of an address",
      );
    }
  }

  #tell(key: string, { address, device }: Entry): void {
    const { clock = systemClock, log } = this.#deps;
    const frames = announcements(address, device.mac);
    const send = () => {
      if (this.#signal.aborted) return;
      try {
        sendFrames(device, frames);
      } catch (thrown) {
        log.warn({ address, device: device.name, err: errorText(thrown) }, "cannot announce an address");
      }
    };
    send();
    const cancels = announceAgainMs.map((ms) => clock.after(ms, send));
    this.#told.set(key, () => {
      for (const cancel of cancels) cancel();
    });
    log.info({ address, device: device.name }, "answers for an address on the wire");
  }

  [Symbol.dispose](): void {
    for (const cancel of this.#told.values()) cancel();
    for (const fd of this.#groups.values()) closeSync(fd);
    this.#groups.clear();
  }
}
