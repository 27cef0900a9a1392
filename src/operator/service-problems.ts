// SPDX-License-Identifier: Apache-2.0
import type { V1Service } from "@kubernetes/client-node";
import type { KubeObject } from "#k8s/resource.ts";
import { ageOfService } from "#services/owners.ts";
import { type Known, ScreenedServices } from "#services/screen.ts";
import { protoName, tupleText } from "#services/service.ts";
import { toService } from "#services/source.ts";
import { addressesOf, type EndpointSlice, type Service, serviceKey } from "#services/table.ts";
import type { Table } from "#store/table.ts";

/** On a Service of which not all can be served as it asks; on others there is none. */
export const conditionType = "weft.io/ServedAsAsked";

/** A Service, and what was last said of it in its status. */
export interface WatchedService extends Service {
  readonly uid: string;
  /** Message of its condition {@link conditionType}; absent: it has none. */
  readonly said?: string;
}

export interface ServiceProblem {
  readonly reason: "Unsupported" | "AddressConflict" | "EndpointIsServiceAddress";
  readonly message: string;
}

/** @returns undefined for one that somebody else serves (service-proxy-name), and for an ExternalName */
export function watchedServiceRow(object: V1Service & KubeObject): WatchedService | undefined {
  if (object.metadata?.labels?.["service.kubernetes.io/service-proxy-name"] !== undefined) return undefined;
  const service = toService(object);
  const said = object.status?.conditions?.find(({ type }) => type === conditionType)?.message;
  return service && { ...service, uid: object.metadata?.uid ?? "", ...(said !== undefined && { said }) };
}

/** What it claims: addresses with ports, and ports of every node. */
function claimsOf(service: Service): string[] {
  if (service.clusterIps.length === 0) return [];
  return service.ports.flatMap(({ port, nodePort, proto }) => [
    ...addressesOf(service).map((address) => tupleText({ address, port, proto })),
    ...(nodePort === 0 ? [] : [`node port ${nodePort}/${protoName(proto)}`]),
  ]);
}

/** Finds what of Services cannot be as they ask, by the rules the agents keep. Pure, but for its memory of who claims what. */
export class ServiceProblems {
  readonly #services: Table<WatchedService>;
  readonly #screen: ScreenedServices;
  readonly #claims = new Map<string, Set<string>>();
  readonly #claimed = new Map<string, readonly string[]>();

  /** @param slices those that people write */
  constructor(known: Known<WatchedService>, slices: Table<EndpointSlice>) {
    this.#services = known.services;
    this.#screen = new ScreenedServices(known, slices);
  }

  /** Takes note of a Service as it is in the table now. @returns those it concerns, itself among them */
  update(key: string): Set<string> {
    const concerned = new Set([key, ...this.#screen.concernedBy(key)]);
    const row = this.#services.get(key);
    const before = this.#claimed.get(key) ?? [];
    const now = row ? [...new Set(claimsOf(row))] : [];
    for (const claim of before) {
      const claims = this.#claims.get(claim);
      claims?.delete(key);
      if (claims?.size === 0) this.#claims.delete(claim);
      for (const other of claims ?? []) concerned.add(other);
    }
    for (const claim of now) {
      const claims = this.#claims.get(claim);
      if (!claims) this.#claims.set(claim, new Set([key]));
      for (const other of claims?.add(key) ?? []) concerned.add(other);
    }
    if (now.length > 0) this.#claimed.set(key, now);
    else this.#claimed.delete(key);
    return concerned;
  }

  /** In an order that does not change. */
  of(key: string): ServiceProblem[] {
    const row = this.#services.get(key);
    if (!row) return [];
    return [
      ...row.problems.map((message): ServiceProblem => ({ reason: "Unsupported", message })),
      ...this.#conflictsOf(row),
      ...this.#endpointsOf(key),
    ];
  }

  #conflictsOf(row: WatchedService): ServiceProblem[] {
    const lost = new Map<string, string[]>();
    for (const claim of this.#claimed.get(serviceKey(row)) ?? []) {
      const owner = this.#ownerOf(claim);
      if (owner !== serviceKey(row)) lost.set(owner, [...(lost.get(owner) ?? []), claim]);
    }
    return [...lost].map(([owner, claims]) => ({
      reason: "AddressConflict",
      message: `${claims.join(", ")}: of Service ${owner}, which is older`,
    }));
  }

  #ownerOf(claim: string): string {
    const age = (key: string) => ageOfService(key, this.#services.get(key)?.createdMs);
    const claims = [...(this.#claims.get(claim) ?? [])];
    return claims.reduce((oldest, key) => (age(key) < age(oldest) ? key : oldest));
  }

  #endpointsOf(key: string): ServiceProblem[] {
    const endpoints = this.#screen.slicesOf(key).flatMap((slice) => slice.endpoints);
    return endpoints
      .filter(({ addressOf }) => addressOf !== undefined)
      .map(({ address, addressOf }) => ({
        reason: "EndpointIsServiceAddress",
        message: `endpoint ${address} is an address of Service ${addressOf}: nobody is led there`,
      }));
  }
}
