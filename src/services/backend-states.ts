// SPDX-License-Identifier: Apache-2.0
import { family } from "#model/ip.ts";
import { endpointsOf, type Here } from "#services/frontends.ts";
import { type Backend, type Frontend, frontendKey, tupleText } from "#services/service.ts";
import type { EndpointSlice, Service } from "#services/table.ts";

/** One endpoint behind one frontend, as this node sees it. */
export interface BackendState {
  /** Key of the frontend. */
  readonly frontend: string;
  readonly namespace: string;
  readonly name: string;
  readonly type: Frontend["type"];
  /** `10.0.0.1:8080/TCP`; empty in the one row of a frontend without endpoints. */
  readonly backend: string;
  /** Where it runs, if known. */
  readonly on: string;
  /** Lost: the frontend is another service's, which claims it too. */
  readonly state: "active" | "draining" | "unused" | "lost";
  /** Percent of new connections. */
  readonly share: number;
  /** Why it is used although it is not ready, or why it is not used. */
  readonly reason: string;
}

/** What becomes of each endpoint of a service behind each of its frontends, pure. */
export function backendStates(
  service: Service,
  slices: readonly EndpointSlice[],
  rows: readonly Frontend[],
  here: Here,
): BackendState[] {
  return rows.flatMap((row) => {
    const port = service.ports.find(({ name, proto }) => name === row.portName && proto === row.proto);
    const endpoints = port ? endpointsOf(service, slices, { port, of: family(row.address) }) : [];
    const { namespace, name, type } = row;
    const common = { frontend: frontendKey(row), namespace, name, type };
    if (endpoints.length === 0)
      return [{ ...common, backend: "", on: "", state: "unused", share: 0, reason: "there is no endpoint" }];
    const chosen = new Set(row.backends.map(tupleText));
    const draining = new Set(row.draining?.map(tupleText));
    const whole = row.backends.reduce((sum, backend) => sum + weightOf(backend, row), 0);
    return endpoints.map((endpoint): BackendState => {
      const backend = tupleText(endpoint);
      const active = chosen.has(backend);
      return {
        ...common,
        backend,
        on: endpoint.node ?? "",
        state: active ? "active" : draining.has(backend) ? "draining" : "unused",
        share: active ? Math.round((1000 * weightOf(endpoint, row)) / whole) / 10 : 0,
        reason: active ? whyUsed(endpoint) : whyNot(endpoint, { service, row, here }),
      };
    });
  });
}

/** Where all have weight 0, all count alike. */
function weightOf({ weight = 1 }: Backend, { backends }: Frontend): number {
  return backends.every((one) => one.weight === 0) ? 1 : weight;
}

function whyUsed({ ready, weight }: Backend): string {
  if (!ready) return "terminates, and none is ready";
  return weight === undefined ? "" : `weight ${weight}`;
}

function whyNot(
  { ready, serving, terminating, node, weight, hints, addressOf }: Backend,
  { service, row, here }: { readonly service: Service; readonly row: Frontend; readonly here: Here },
): string {
  if (addressOf !== undefined) return `is an address of Service ${addressOf}`;
  const internal = row.type === "ClusterIP" && service.internalLocal;
  if ((internal || row.scope === "local") && node !== here.nodeName)
    return `on another node, and the ${internal ? "internal" : "external"}TrafficPolicy is Local`;
  if (terminating) return serving ? "terminates, and others are ready" : "terminates, and serves no more";
  if (!ready) return "not ready";
  if (weight === 0) return "weight 0";
  if (hints) return `its hints are for ${[...hints.nodes, ...hints.zones].join(", ")}`;
  return "not written yet";
}
