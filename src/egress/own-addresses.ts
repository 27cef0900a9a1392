// SPDX-License-Identifier: Apache-2.0
import { type InterfaceAddress, listAddresses } from "#kernel/netlink/address.ts";
import type { Netlink } from "#kernel/netlink/handle.ts";
import { listLinks } from "#kernel/netlink/link.ts";
import { type Address, type Family, family } from "#model/ip.ts";
import type { Database, WritableTable } from "#store/table.ts";
import type { GatewayChoice } from "./policy.ts";

/** An address of this node. */
export interface OwnAddress {
  readonly address: Address;
  /** Name of the device. */
  readonly device: string;
  readonly ifindex: number;
  /** As the kernel lists them: the first of a device is the one it sends from. */
  readonly order: number;
}

export function ownAddressTable(db: Database): WritableTable<OwnAddress> {
  return db.table<OwnAddress>({
    name: "own-addresses",
    key: (row) => `${row.device} ${row.address}`,
    equal: (a, b) => a.ifindex === b.ifindex && a.order === b.order,
    columns: [
      { name: "ADDRESS", of: (row) => row.address },
      { name: "DEVICE", of: (row) => row.device },
    ],
  });
}

/** Addresses that packets can leave with, by device. */
export function readOwnAddresses(netlink: Netlink): OwnAddress[] {
  const names = new Map(listLinks(netlink).map(({ index, name }) => [index, name]));
  const usable = ({ scope, tentative }: InterfaceAddress) => scope === "global" && !tentative;
  return listAddresses(netlink)
    .filter(usable)
    .flatMap(({ link, address }, order) => {
      const device = names.get(link);
      return device === undefined ? [] : [{ address, device, ifindex: link, order }];
    });
}

/** Addresses come and go without anybody telling. */
const everyMs = 5_000;

/** Keeps the table equal to what the node has. */
export function startOwnAddresses(deps: {
  readonly db: Database;
  readonly own: WritableTable<OwnAddress>;
  readonly netlink: Netlink;
}): Disposable & { refresh(): void } {
  const { db, own, netlink } = deps;
  const source = own.source("node");
  const refresh = () => {
    const found = readOwnAddresses(netlink);
    const keys = new Set(found.map((row) => own.keyOf(row)));
    db.write((tx) => {
      for (const row of found) tx.put(own, row);
      for (const row of [...own.all()]) if (!keys.has(own.keyOf(row))) tx.delete(own, own.keyOf(row));
    });
  };
  refresh();
  source.synced();
  const timer = setInterval(refresh, everyMs);
  timer.unref();
  return { refresh, [Symbol.dispose]: () => clearInterval(timer) };
}

/** What this node has for what a policy asks for; `usual`: for one that asks for nothing. Pure. */
export function addressFor(
  own: Iterable<OwnAddress>,
  choice: GatewayChoice,
  { of, usual }: { readonly of: Family; readonly usual: Address | undefined },
): Address | undefined {
  const all = [...own].filter(({ address }) => family(address) === of).sort((a, b) => a.order - b.order);
  if (choice.address !== undefined) return all.find(({ address }) => address === choice.address)?.address;
  if (choice.interface !== undefined) return all.find(({ device }) => device === choice.interface)?.address;
  return usual;
}
