// SPDX-License-Identifier: Apache-2.0
import { readLocalRedirectPolicy } from "#api/crd/cilium-local-redirect-policy.ts";
import type { KubeObject } from "#k8s/resource.ts";
import { type Address, parseAddress } from "#model/ip.ts";
import type { LabelSelector } from "#model/selects-labels.ts";
import type { Database, WritableTable } from "#store/table.ts";

export interface RedirectPort {
  readonly name?: string | undefined;
  readonly port: number;
  readonly protocol: "TCP" | "UDP";
}

/** Intent: a CiliumLocalRedirectPolicy. */
export interface RedirectPolicy {
  readonly namespace: string;
  readonly name: string;
  /** Milliseconds since the epoch: of two that claim the same, the older one has it. */
  readonly createdMs: number;
  /** What is redirected: an address, or the cluster IPs of a Service of the namespace. */
  readonly from: { readonly address: Address } | { readonly service: string };
  /** Empty: all ports of the Service. */
  readonly ports: readonly RedirectPort[];
  /** Of pods of the namespace, on the node. */
  readonly pods: LabelSelector;
  readonly targets: readonly RedirectPort[];
  /** What the pods themselves ask is not redirected. */
  readonly skipOwn?: true;
}

/** @throws WeftError E_MANIFEST with the path of the field that is wrong */
export function redirectPolicyRow(object: KubeObject): RedirectPolicy {
  const kind = { apiVersion: "cilium.io/v2", kind: "CiliumLocalRedirectPolicy" };
  const { metadata, spec } = readLocalRedirectPolicy({ ...object, ...kind });
  const { addressMatcher, serviceMatcher } = spec.redirectFrontend;
  const namespace = metadata.namespace ?? "default";
  return {
    namespace,
    name: metadata.name,
    createdMs: Date.parse(String(metadata.creationTimestamp)) || 0,
    from: addressMatcher
      ? { address: parseAddress(addressMatcher.ip) }
      : { service: serviceMatcher!.serviceName },
    ports: (addressMatcher ?? serviceMatcher)?.toPorts?.map(portOf) ?? [],
    pods: spec.redirectBackend.localEndpointSelector,
    targets: spec.redirectBackend.toPorts.map(portOf),
    ...(spec.skipRedirectFromBackend && { skipOwn: true }),
  };
}

function portOf({
  port,
  ...more
}: {
  name?: string | undefined;
  port: string;
  protocol: "TCP" | "UDP";
}): RedirectPort {
  return { ...more, port: Number(port) };
}

/** Key: `namespace/name`. */
export function redirectPolicyTable(db: Database): WritableTable<RedirectPolicy> {
  return db.table<RedirectPolicy>({
    name: "redirect-policies",
    key: (row) => `${row.namespace}/${row.name}`,
    equal: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    columns: [
      { name: "NAMESPACE", of: (row) => row.namespace },
      { name: "NAME", of: (row) => row.name },
      { name: "REDIRECTS", of: ({ from }) => ("address" in from ? from.address : `service ${from.service}`) },
      {
        name: "PORTS",
        of: ({ ports }) => ports.map(({ port, protocol }) => `${port}/${protocol}`).join(",") || "all",
      },
      {
        name: "TO",
        of: ({ targets }) => targets.map(({ port, protocol }) => `${port}/${protocol}`).join(","),
      },
    ],
  });
}
