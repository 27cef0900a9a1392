// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import type { EventRecorder } from "#k8s/events.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { startController } from "#store/controller.ts";
import { startWorkQueue } from "#store/work-queue.ts";
import type { LbIpam } from "./lb-ipam.ts";
import type { ActivePool } from "./lb-ipam-pool.ts";
import { isMarked, type LbService, lbServiceKey } from "./lb-ipam-service.ts";
import { isPoolWritten, isServiceWritten, writePool, writeService } from "./lb-ipam-writer.ts";
import type { OperatorTables } from "./tables.ts";

export interface LbIpamDeps {
  readonly client: KubeClient;
  readonly tables: Pick<OperatorTables, "lbPools" | "lbServices">;
  /** A new one. */
  readonly ipam: LbIpam;
  readonly events: EventRecorder;
  readonly health: Health;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** A pool's counts change with every Service that comes or goes: those who watch it need not have each number. */
const poolRate = { perSec: 5, burst: 20 };

/**
 * Gives Services of type LoadBalancer their addresses, and says in status and Events what they lack. A Service whose addresses somebody else gave
 * (none is of a pool, and no condition of ours is on it) is left alone.
 */
export function startLbIpam(deps: LbIpamDeps): AsyncDisposable {
  const { client, tables, ipam, health, log, signal } = deps;
  const { lbPools, lbServices } = tables;
  const tell = teller(deps);
  const stack = new AsyncDisposableStack();
  const common = { health, log, signal };
  const services = stack.use(
    startWorkQueue({
      ...common,
      name: "lb-ipam/services",
      parallel: 8,
      async work(key, until) {
        const service = lbServices.get(key);
        if (service) await writeService(client, { service, assignment: ipam.assignment(key) }, until);
      },
    }),
  );
  const pools = stack.use(
    startWorkQueue({
      ...common,
      name: "lb-ipam/pools",
      rate: poolRate,
      async work(name, until) {
        const pool = ipam.pools.find(({ row }) => row.name === name);
        if (pool) await writePool(client, pool, until);
      },
    }),
  );
  stack.use(
    startController({
      ...common,
      name: "lb-ipam",
      inputs: { lbPools, lbServices },
      run(changes) {
        if (changes.lbPools.size > 0) ipam.setPools(lbPools.all());
        const looked = new Set(changes.lbServices.keys());
        if (changes.lbPools.size > 0) for (const row of lbServices.all()) looked.add(lbServiceKey(row));
        for (const key of looked) {
          const row = lbServices.get(key);
          if (row && isInCare(ipam, row)) ipam.setService(row);
          else ipam.removeService(key);
        }
        for (const key of ipam.settle()) looked.add(key);
        for (const key of looked) {
          const service = lbServices.get(key);
          if (service && !isServiceWritten(service, ipam.assignment(key))) services.add(key);
        }
        for (const pool of ipam.pools) if (!isPoolWritten(pool)) pools.add(pool.row.name);
        tell();
        return `${ipam.size} service(s), ${ipam.pools.length} pool(s)`;
      },
    }),
  );
  return stack;
}

/** Whether the addresses of a Service are the pools' matter. Before there is a pool, and where somebody else gave them, they are not. */
function isInCare(ipam: LbIpam, service: LbService): boolean {
  if (!service.isOurs) return false;
  if (isMarked(service)) return true;
  if (ipam.pools.length === 0) return false;
  const given = service.held.length > 0 || service.hasForeignIngress;
  return !given || service.held.some((address) => ipam.holds(address));
}

/** Tells each trouble once, as an Event of the object and in the log; and in health what an administrator has to do something about. */
function teller({ tables, ipam, events, health, log }: LbIpamDeps): () => void {
  const told = new Map<string, string>();
  const once = (about: string, text: string, say: () => void) => {
    if ((told.get(about) ?? "") === text) return;
    told.set(about, text);
    if (text !== "") say();
  };
  const tellService = (service: LbService) => {
    const { reason = "satisfied", message = "" } = ipam.assignment(lbServiceKey(service)) ?? {};
    once(`Service ${lbServiceKey(service)}`, message, () => {
      const { namespace, name, uid } = service;
      log.warn({ service: lbServiceKey(service), reason, problem: message }, "service lacks an address");
      events.warn(
        { apiVersion: "v1", kind: "Service", namespace, name, uid },
        eventReasons[reason] ?? "LoadBalancerIPUnavailable",
        message,
      );
    });
  };
  const tellPool = ({ row: { name, uid }, trouble }: ActivePool) => {
    once(`Pool ${name}`, trouble?.message ?? "", () => {
      log.warn({ pool: name, problem: trouble?.message }, "pool gives nothing out");
      const subject = { apiVersion: "cilium.io/v2", kind: "CiliumLoadBalancerIPPool", name, uid };
      events.warn(
        subject,
        trouble?.reason === "cidr_overlap" ? "PoolConflict" : "InvalidBlock",
        trouble?.message ?? "",
      );
    });
  };
  return () => {
    const about = new Set(["", ...ipam.pools.map(({ row }) => `Pool ${row.name}`)]);
    for (const key of ipam.lacking) about.add(`Service ${key}`);
    for (const key of told.keys()) if (!about.has(key)) told.delete(key);
    ipam.pools.forEach(tellPool);
    let exhausted = 0;
    for (const key of ipam.lacking) {
      const service = tables.lbServices.get(key);
      if (service) tellService(service);
      if (ipam.assignment(key)?.reason === "out_of_ips") exhausted++;
    }
    const troubled = ipam.pools.filter(({ trouble }) => trouble !== undefined);
    const problems = [
      ...(exhausted > 0 ? [`${exhausted} service(s) without an address: the pools are used up`] : []),
      ...troubled.map(({ row, trouble }) => `pool ${row.name}: ${trouble?.message}`),
    ];
    health.set("lb-ipam/state", problems.length > 0 ? "degraded" : "ok", problems.join("; "));
  };
}

const eventReasons: Readonly<Partial<Record<string, string>>> = {
  no_pool: "NoLoadBalancerIPPool",
  out_of_ips: "LoadBalancerIPsExhausted",
  already_allocated: "LoadBalancerIPInUse",
  already_allocated_incompatible_service: "LoadBalancerIPInUse",
};
