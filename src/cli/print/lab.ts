// SPDX-License-Identifier: Apache-2.0
import { styleText } from "node:util";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { type LabStatus, labClient, labStatus } from "#lab/status.ts";
import { type Grid, renderGrid } from "./table.ts";

interface ServiceObject extends KubeObject {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec?: {
    readonly type?: string;
    readonly clusterIPs?: readonly string[];
    readonly ports?: readonly {
      readonly port: number;
      readonly nodePort?: number;
      readonly protocol?: string;
    }[];
  };
}

/** Nodes, pods and services of the running lab as tables, and where to reach it. */
export async function printLab(signal: AbortSignal): Promise<void> {
  const status = await labStatus(signal);
  using client = await labClient();
  const services = await client.list<ServiceObject>(resources.services, { signal });
  const out = (title: string, grid: Grid) =>
    process.stdout.write(`\n${styleText("bold", title)}\n${renderGrid(grid, false)}\n`);
  out("Nodes", nodeGrid(status));
  out("Pods", podGrid(status));
  out("Services", serviceGrid(services.items));
  process.stdout.write(`\n${reach(status)}`);
}

export function reach(status: LabStatus): string {
  const line = (name: string, text: string) => `${`${name}:`.padEnd(12)}${text}\n`;
  return (
    line("kubectl", `export KUBECONFIG=${status.kubeconfig}`) +
    line("observer", status.observer) +
    line("metrics", status.metrics)
  );
}

export function nodeGrid(status: LabStatus): Grid {
  return {
    columns: ["NAME", "STATUS", "ADDRESSES", "POD-CIDRS", "PODS"].map((name) => ({ name })),
    rows: status.nodes.map((n) => [
      n.name,
      n.ready ? "Ready" : "NotReady",
      n.addresses.join(","),
      n.podCidrs.join(","),
      n.pods,
    ]),
  };
}

export function podGrid(status: LabStatus): Grid {
  return {
    columns: ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "IP", "NODE"].map((name) => ({ name })),
    rows: [...status.pods]
      .sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1))
      .map((p) => [
        p.namespace,
        p.name,
        p.ready ? "yes" : "no",
        p.phase,
        p.restarts,
        p.ips.join(","),
        p.node,
      ]),
  };
}

function serviceGrid(services: readonly ServiceObject[]): Grid {
  return {
    columns: ["NAMESPACE", "NAME", "TYPE", "CLUSTER-IP", "PORTS"].map((name) => ({ name })),
    rows: services.map(({ metadata, spec }) => [
      metadata.namespace,
      metadata.name,
      spec?.type ?? "ClusterIP",
      (spec?.clusterIPs ?? []).join(","),
      (spec?.ports ?? [])
        .map((p) => `${p.port}${p.nodePort ? `:${p.nodePort}` : ""}/${p.protocol ?? "TCP"}`)
        .join(","),
    ]),
  };
}
