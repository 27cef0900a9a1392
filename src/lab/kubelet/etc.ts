// SPDX-License-Identifier: Apache-2.0
import { CLUSTER_DOMAIN } from "../dns/records.ts";
import type { Pod } from "../objects.ts";

/** resolv.conf and hosts of a pod, as a kubelet writes them. Pure. */
export function etcFiles(
  pod: Pod,
  { ips, nameservers }: { readonly ips: readonly string[]; readonly nameservers: readonly string[] },
): Record<"resolv.conf" | "hosts", string> {
  const { namespace = "default", name } = pod.metadata;
  const { dnsConfig, hostname = name, subdomain } = pod.spec;
  const cluster = pod.spec.dnsPolicy !== "None" && pod.spec.dnsPolicy !== "Default";
  const servers = [...(cluster ? nameservers : []), ...(dnsConfig?.nameservers ?? [])];
  const searches = [
    ...(cluster ? [`${namespace}.svc.${CLUSTER_DOMAIN}`, `svc.${CLUSTER_DOMAIN}`, CLUSTER_DOMAIN] : []),
    ...(dnsConfig?.searches ?? []),
  ];
  const options = dnsConfig?.options?.map((one) => (one.value ? `${one.name}:${one.value}` : one.name)) ?? [
    "ndots:5",
  ];
  const full = subdomain
    ? `${hostname}.${subdomain}.${namespace}.svc.${CLUSTER_DOMAIN}\t${hostname}`
    : hostname;
  return {
    "resolv.conf": [
      ...servers.map((server) => `nameserver ${server}`),
      ...(searches.length > 0 ? [`search ${searches.join(" ")}`] : []),
      `options ${options.join(" ")}`,
      "",
    ].join("\n"),
    hosts: [
      "127.0.0.1\tlocalhost",
      "::1\tlocalhost ip6-localhost ip6-loopback",
      ...ips.map((ip) => `${ip}\t${full}`),
      ...(pod.spec.hostAliases ?? []).map((alias) => `${alias.ip}\t${alias.hostnames.join("\t")}`),
      "",
    ].join("\n"),
  };
}
