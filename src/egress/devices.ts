// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from "node:util";
import { errorText } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Table } from "#store/table.ts";
import type { OwnAddress } from "./own-addresses.ts";
import type { EgressRow } from "./rows.ts";

/** The devices, by index, of addresses that pods leave with from here, without the node's own one. Pure. */
export function egressDevices(
  rows: Iterable<EgressRow>,
  own: Iterable<OwnAddress>,
  nodeDevice: number,
): ReadonlySet<number> {
  const used = new Set([...rows].flatMap(({ way, address }) => (way === "gateway" && address) || []));
  const found = [...own].filter(({ address, ifindex }) => used.has(address) && ifindex !== nodeDevice);
  return new Set(found.map(({ ifindex }) => ifindex).sort((a, b) => a - b));
}

export interface EgressDevicesDeps {
  readonly egress: Table<EgressRow>;
  readonly ownAddresses: Table<OwnAddress>;
  /** Index of the node's own device, whose programs take answers back as it is. */
  readonly nodeDevice: number;
  /** Makes them, and no others, the devices where answers are taken back. */
  attach(devices: ReadonlySet<number>): void;
  readonly health: Health;
  readonly log: Logger;
}

/** Keeps the programs for answers on the devices that egress addresses are on. What fails is tried again with the next change, and said. */
export function startEgressDevices(deps: EgressDevicesDeps): Disposable {
  const { egress, ownAddresses, nodeDevice, health, log } = deps;
  let attached: ReadonlySet<number> | undefined;
  let scheduled: NodeJS.Immediate | undefined;
  let stopped = false;
  const stops: (() => void)[] = [];
  const renew = () => {
    scheduled = undefined;
    if (stopped) return;
    const wanted = egressDevices(egress.all(), ownAddresses.all(), nodeDevice);
    if (attached && isDeepStrictEqual(wanted, attached)) return;
    try {
      deps.attach(wanted);
      if (wanted.size > 0 || attached) log.info({ devices: [...wanted] }, "devices of egress addresses");
      attached = wanted;
      health.set("egress/devices", "ok", `${wanted.size} beside the node's own`);
    } catch (error) {
      attached = undefined;
      health.set("egress/devices", "degraded", `answers to egress addresses: ${errorText(error)}`);
    }
  };
  void Promise.all([egress.ready, ownAddresses.ready]).then(() => {
    if (stopped) return;
    renew();
    const later = () => {
      scheduled ??= setImmediate(renew);
    };
    for (const table of [egress, ownAddresses]) stops.push(table.onCommit(later));
  });
  return {
    [Symbol.dispose]: () => {
      stopped = true;
      if (scheduled) clearImmediate(scheduled);
      for (const stop of stops) stop();
    },
  };
}
