// SPDX-License-Identifier: Apache-2.0
import { targetOf } from "#api/crd/cilium-local-redirect-policy.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { type Address, family, hostPrefix } from "#model/ip.ts";
import { selectsLabels } from "#model/selects-labels.ts";
import { startController } from "#store/controller.ts";
import type { Database, Table, WritableTable } from "#store/table.ts";
import type { PodAddresses } from "./host-ports.ts";
import type { RedirectPolicy, RedirectPort } from "./redirect-policy.ts";
import { type Backend, type Frontend, protoName } from "./service.ts";
import { type Service, serviceKey } from "./table.ts";

/** What of a pod of this node is asked here. */
export interface RedirectPod {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ready?: true;
}

/** What becomes of a redirect policy on this node: desired. */
export interface Redirect {
  readonly namespace: string;
  readonly name: string;
  /** Milliseconds since the epoch: of two of the same, the older one has it. */
  readonly createdMs: number;
  /** A Service has its address for itself; what is redirected of a Service goes before the Service's own. */
  readonly ofService: boolean;
  readonly frontends: readonly Frontend[];
  /** Why nothing is redirected. */
  readonly problem?: string;
}

export function redirectTable(db: Database): WritableTable<Redirect> {
  return db.table<Redirect>({
    name: "local-redirects",
    key: (row) => `${row.namespace}/${row.name}`,
    equal: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    columns: [
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "NAME", of: (row) => row.name },
      {
        name: "FRONTENDS",
        of: ({ frontends }) =>
          frontends.map(({ address, port, proto }) => `${address} ${port}/${protoName(proto)}`).join(", "),
      },
      {
        name: "BACKENDS",
        of: ({ frontends }) =>
          [...new Set(frontends.flatMap(({ backends }) => backends.map(({ address }) => address)))].join(","),
      },
      { name: "PROBLEM", of: (row) => row.problem ?? "" },
    ],
  });
}

/** What a policy meets on this node. */
export interface RedirectWorld {
  /** The Service it names, if there is one. */
  readonly service: Service | undefined;
  /** Addresses of the ready pods it selects. */
  readonly pods: readonly Address[];
  /** Of all it selects: also of those that ask before they are ready. */
  readonly selected?: readonly Address[];
  readonly nodeName?: string | undefined;
}

const protocols = { TCP: 6, UDP: 17 } as const;

/** The frontends that lead to the node's own pods. Without a pod that is ready there are none: what was asked for answers itself. Pure. */
export function redirectOf(policy: RedirectPolicy, world: RedirectWorld): Redirect {
  const { namespace, name, createdMs, from } = policy;
  const base = { namespace, name, createdMs, ofService: "service" in from };
  if ("service" in from && !world.service?.clusterIps.length)
    return { ...base, frontends: [], problem: `there is no Service ${from.service} with an address` };
  if (world.pods.length === 0)
    return { ...base, frontends: [], problem: "no pod of this node that it selects is ready" };
  const frontends = askedOf(policy, world.service).flatMap((asked) => frontendOf(policy, asked, world) ?? []);
  const problem = "none of its ports, or of their families, has a counterpart";
  return { ...base, frontends, ...(frontends.length === 0 && { problem }) };
}

interface Asked {
  readonly address: Address;
  readonly port: RedirectPort;
  readonly portName: string;
}

function askedOf({ from, ports }: RedirectPolicy, service: Service | undefined): Asked[] {
  if ("address" in from)
    return ports.map((port) => ({ address: from.address, port, portName: port.name ?? "" }));
  const of = service?.ports ?? [];
  const served = of.flatMap(({ name: portName, port, proto }) => {
    const protocol = protoName(proto);
    if (protocol !== "TCP" && protocol !== "UDP") return [];
    const said = ports.find((one) => one.port === port && one.protocol === protocol);
    if (ports.length > 0 && !said) return [];
    return [{ port: said ?? { name: portName, port, protocol }, portName } as const];
  });
  return (service?.clusterIps ?? []).flatMap((address) => served.map((one) => ({ address, ...one })));
}

function frontendOf(
  policy: RedirectPolicy,
  { address, port, portName }: Asked,
  world: RedirectWorld,
): Frontend | undefined {
  const target = targetOf(policy.targets, port);
  const pods = world.pods.filter((pod) => family(pod) === family(address));
  if (!target || pods.length === 0) return undefined;
  const proto = protocols[port.protocol];
  const excepted = (world.selected ?? world.pods).filter((pod) => family(pod) === family(address));
  const backend = (pod: Address): Backend => ({
    address: pod,
    port: target.port,
    proto,
    ...(world.nodeName !== undefined && { node: world.nodeName }),
    ready: true,
    serving: true,
    terminating: false,
  });
  return {
    namespace: policy.namespace,
    name: world.service?.name ?? policy.name,
    portName,
    type: "LocalRedirect",
    address,
    port: port.port,
    proto,
    backends: pods.map(backend),
    ...(policy.skipOwn && { sourceRanges: excepted.map(hostPrefix), denyRanges: true, passDenied: true }),
  };
}

export interface RedirectDeps {
  readonly db: Database;
  readonly policies: Table<RedirectPolicy>;
  readonly services: Table<Service>;
  readonly pods: Table<RedirectPod>;
  /** With an index `pod`: `namespace/name`. */
  readonly endpoints: Table<PodAddresses>;
  /** Written. */
  readonly redirects: WritableTable<Redirect>;
  readonly nodeName: string;
  readonly health: Health;
  readonly log: Logger;
}

/** Policies × Services × pods of this node → redirects. They are few: each change looks at all of them. */
export function startRedirects(deps: RedirectDeps, signal: AbortSignal): AsyncDisposable {
  const { db, policies, services, pods, endpoints, redirects, nodeName, health, log } = deps;
  return startController({
    name: "local-redirects",
    inputs: { policies, services, pods, endpoints },
    outputs: [redirects.source("policies")],
    signal,
    health,
    log,
    run() {
      if (policies.size === 0 && redirects.size === 0) return "";
      const rows = [...policies.all()].map((policy) => {
        const { namespace, from } = policy;
        const service =
          "service" in from ? services.get(serviceKey({ namespace, name: from.service })) : undefined;
        const selected = podsOf(policy, { pods, endpoints });
        const addresses = (found: typeof selected) =>
          [...new Set(found.map(({ address }) => address))].sort();
        return redirectOf(policy, {
          service,
          pods: addresses(selected.filter(({ ready }) => ready)),
          selected: addresses(selected),
          nodeName,
        });
      });
      const keys = new Set(rows.map((row) => redirects.keyOf(row)));
      db.write((tx) => {
        for (const row of rows) tx.put(redirects, row);
        for (const row of [...redirects.all()])
          if (!keys.has(redirects.keyOf(row))) tx.delete(redirects, redirects.keyOf(row));
      });
      const idle = rows.filter(({ problem }) => problem !== undefined).length;
      return `${rows.length} policies${idle > 0 ? `, ${idle} of them without effect` : ""}`;
    },
  });
}

/** Addresses of the node's pods that it selects. */
function podsOf(
  policy: RedirectPolicy,
  { pods, endpoints }: Pick<RedirectDeps, "pods" | "endpoints">,
): { readonly address: Address; readonly ready: boolean }[] {
  const found: { readonly address: Address; readonly ready: boolean }[] = [];
  for (const pod of pods.all()) {
    if (pod.namespace !== policy.namespace || !selectsLabels(policy.pods, pod.labels)) continue;
    // The latest attachment alone: of a pod whose sandbox is being replaced there are two for a moment.
    const latest = [...endpoints.by("pod", `${pod.namespace}/${pod.name}`)].at(-1);
    const ready = pod.ready === true;
    for (const address of [latest?.v4, latest?.v6]) if (address !== undefined) found.push({ address, ready });
  }
  return found;
}
