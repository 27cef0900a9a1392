// SPDX-License-Identifier: Apache-2.0
import { Gauge, type Registry } from "#lib/metrics.ts";
import type { LbIpam } from "./lb-ipam.ts";

/** Cilium's names, which dashboards and alerts ask for. Without a leader's work there are no values. */
export function addLbIpamMetrics(registry: Registry, current: () => LbIpam | undefined): void {
  const name = (rest: string) => `cilium_operator_lbipam_${rest}`;
  const registers = [registry];
  const single = (rest: string, help: string, value: (ipam: LbIpam) => number) =>
    new Gauge({
      name: name(rest),
      help,
      registers,
      collect() {
        const ipam = current();
        if (ipam) this.set(value(ipam));
        else this.remove();
      },
    });
  single(
    "conflicting_pools",
    "Pools that give nothing out: they overlap an older one, or have a block that cannot be read",
    ({ pools }) => pools.filter(({ trouble }) => trouble !== undefined).length,
  );
  single(
    "services_matching",
    "Services whose load-balancer addresses are the pools' matter",
    ({ size }) => size,
  );
  single("services_unsatisfied", "Services that lack an address they ask for", ({ lacking }) => lacking.size);
  const perPool = (rest: string, help: string, value: (pool: LbIpam["pools"][number]) => bigint) =>
    new Gauge({
      name: name(rest),
      help,
      labelNames: ["pool"],
      registers,
      collect() {
        this.reset();
        for (const pool of current()?.pools ?? []) this.set({ pool: pool.row.name }, Number(value(pool)));
      },
    });
  perPool("ips_available", "Addresses of a pool that nobody has", ({ free }) => free);
  perPool("ips_used", "Addresses of a pool that Services have", ({ inUse }) => inUse);
}
