// SPDX-License-Identifier: Apache-2.0
// Values the chart is rendered with: by helm (the golden files), and by our own renderer.
import { join } from "node:path";
import { parse, parseAllDocuments } from "yaml";

export interface ChartCase {
  readonly name: string;
  readonly profile?: string;
  readonly set: readonly string[];
}

export const chartDir = join(import.meta.dirname, "../../charts/weft");

export function goldenFile(name: string): string {
  return join(chartDir, "golden", `${name}.yaml`);
}

export const chartCases: readonly ChartCase[] = [
  { name: "default", profile: "default", set: ["apiServer.host=192.0.2.10"] },
  {
    name: "native-routing",
    profile: "native-routing",
    set: ["config.nativeRoutingCidrs={10.0.0.0/8,fd00::/8}"],
  },
  { name: "dual-stack", profile: "dual-stack", set: ["apiServer.host=2001:db8::1", "apiServer.port=443"] },
  {
    name: "cluster-pool",
    set: [
      "config.ipam=cluster-pool",
      "config.families=v6",
      "operator.replicas=2",
      "operator.config.clusterPool.v6.cidrs={fd00:10::/64,fd00:11::/64}",
    ],
  },
  {
    name: "many-values",
    set: [
      "image.repository=registry.example:5000/net/weft",
      "image.tag=1.2.3-rc.1",
      "image.pullPolicy=Always",
      "image.pullSecrets={one,two}",
      "config.clusterName=blue: green",
      "config.flowBuffer=1048575",
      "relay.tlsSecret=relay-tls",
      "config.masquerade=false",
      "config.l2Announcements.enabled=true",
      "config.device=eth1",
      "cni.confDir=/var/lib/rancher/k3s/agent/etc/cni/net.d",
      "agent.maxUnavailable=25%",
      "agent.nodeSelector.kubernetes\\.io/os=linux",
      "agent.resources.limits.memory=1Gi",
      "operator.nodeSelector.node-role\\.kubernetes\\.io/control-plane=yes",
    ],
  },
  { name: "no-operator", set: ["operator.enabled=false"] },
];

interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** Objects of a text of manifests by `kind namespace/name`, without what only depends on how YAML is written. */
export function objectsByKey(objects: readonly unknown[]): Map<string, unknown> {
  const out = new Map<string, unknown>();
  for (const object of objects as Rendered[]) {
    const { kind, metadata } = object;
    out.set(`${kind} ${metadata.namespace ?? ""}/${metadata.name}`, comparable(object));
  }
  return out;
}

export function parseObjects(text: string): unknown[] {
  return [...parseAllDocuments(text)]
    .map((document) => document.toJS() as unknown)
    .filter((one) => one !== null);
}

function comparable(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(comparable);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => {
      if (key === "weft.io/config-hash") return [key, /^[0-9a-f]{64}$/.test(String(one))];
      if (/^(agent|operator)\.yaml$/.test(key)) return [key, parse(String(one)) as unknown];
      return [key, comparable(one)];
    }),
  );
}
