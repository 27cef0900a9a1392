// SPDX-License-Identifier: Apache-2.0
// Pools and Services as the operator reads them, for tests of LB-IPAM.
import { type LbPool, lbPoolRow, type PoolObject } from "#operator/lb-ipam-pool.ts";
import { type LbService, lbServiceRow } from "#operator/lb-ipam-service.ts";

/** A pool's spec, its age in seconds and its generation. */
export interface PoolParts extends Partial<PoolObject["spec"]> {
  readonly age?: number;
  readonly generation?: number;
}

/** @param blocks `10.0.0.0/24`, `10.0.0.1-10.0.0.5`, `10.0.0.1` */
export function pool(
  name: string,
  blocks: readonly string[],
  { age = 0, generation = 1, ...spec }: PoolParts = {},
): LbPool {
  return lbPoolRow({
    metadata: {
      name,
      uid: `uid-${name}`,
      generation,
      creationTimestamp: new Date(1e12 + age * 1000).toISOString(),
    },
    spec: {
      blocks: blocks.map((text) => {
        const [start = "", stop] = text.split("-");
        return text.includes("/") ? { cidr: text } : { start, ...(stop !== undefined && { stop }) };
      }),
      ...spec,
    },
  });
}

/** A Service by what differs from the plain one. */
export interface ServiceParts {
  readonly age?: number;
  readonly labels?: Record<string, string>;
  readonly ips?: string;
  readonly share?: string;
  readonly across?: string;
  readonly ports?: readonly number[];
  readonly families?: readonly ("IPv4" | "IPv6")[];
  readonly policy?: string;
  readonly held?: readonly string[];
  readonly spec?: object;
}

/** @param at `name` of namespace default, or `namespace/name` */
export function service(at: string, parts: ServiceParts = {}): LbService {
  const [namespace = "", name = ""] = at.includes("/") ? at.split("/") : ["default", at];
  const {
    age = 0,
    labels = {},
    ips,
    share,
    across,
    ports = [80],
    families = ["IPv4"],
    policy,
    held = [],
  } = parts;
  const annotations = {
    ...(ips !== undefined && { "lbipam.cilium.io/ips": ips }),
    ...(share !== undefined && { "lbipam.cilium.io/sharing-key": share }),
    ...(across !== undefined && { "lbipam.cilium.io/sharing-cross-namespace": across }),
  };
  const creationTimestamp = new Date(1e12 + age * 1000).toISOString();
  return lbServiceRow(
    {
      metadata: { namespace, name, uid: at, labels, annotations, creationTimestamp },
      spec: {
        type: "LoadBalancer",
        ipFamilies: families,
        ipFamilyPolicy: policy ?? (families.length > 1 ? "RequireDualStack" : "SingleStack"),
        ports: ports.map((port) => ({ port, protocol: "TCP" })),
        ...parts.spec,
      },
      status: { loadBalancer: { ingress: held.map((ip) => ({ ip })) } },
    } as never,
    false,
  );
}
