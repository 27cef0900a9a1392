// SPDX-License-Identifier: Apache-2.0
import { type Address, family, type Prefix } from "#model/ip.ts";

/** How a new connection's backend is found: by chance, or by its hash, the same on every node. */
export type Algorithm = "random" | "maglev";

/**
 * How a backend on another node is reached from outside: with the node's source address, so that answers come back through it, or with the
 * client's, and its node answers the client itself; hybrid: that for TCP alone.
 */
export type ForwardingMode = "snat" | "dsr" | "hybrid";

export type FrontendType =
  | "ClusterIP"
  | "NodePort"
  | "LoadBalancer"
  | "ExternalIP"
  | "HostPort"
  | "LocalRedirect";

/** One address and port of a Service, with the backends that answer for it: a desired row. */
export interface Frontend {
  readonly namespace: string;
  readonly name: string;
  readonly portName: string;
  readonly type: FrontendType;
  readonly address: Address;
  readonly port: number;
  /** IANA number: 6 TCP, 17 UDP, 132 SCTP. */
  readonly proto: number;
  /** Those that get new connections, by address; their slots in the map are stable and not in this order. */
  readonly backends: readonly Backend[];
  /** Those that get none any more but still exist: their connections go on. */
  readonly draining?: readonly Backend[];
  /** How long a client stays with its backend (sessionAffinity ClientIP); absent: not at all. */
  readonly affinitySec?: number;
  /** Who comes from outside meets this one in place of the other of its address (externalTrafficPolicy Local), or who the other passes on. */
  readonly scope?: "local";
  /** Who may ask, or, with `denyRanges`, who may not; absent: everybody (loadBalancerSourceRanges). */
  readonly sourceRanges?: readonly Prefix[];
  readonly denyRanges?: true;
  /** Pods that may not ask meet the frontend of scope "local" in place of this one, or the address itself where there is none. */
  readonly passDenied?: true;
  /** Absent: any backend, by chance. */
  readonly algorithm?: Algorithm;
  /** Backends on other nodes answer the client themselves. */
  readonly dsr?: true;
  /** There is one of scope "local" beside it. */
  readonly localOutside?: true;
  /** A loopback address: for the node's own processes. */
  readonly hostOnly?: true;
  /** Who claims it too, and does not have it: services, `pod NAMESPACE/NAME`. */
  readonly contested?: readonly string[];
  /** Without backends by a traffic policy alone: others have some, so who asks gets no answer instead of a refusal. */
  readonly elsewhere?: true;
}

/** Names a frontend: its tuple, and its scope. */
export function frontendKey(row: Tuple & Pick<Frontend, "scope">): string {
  return row.scope ? `${tupleText(row)}/${row.scope}` : tupleText(row);
}

export interface Backend {
  readonly address: Address;
  readonly port: number;
  readonly proto: number;
  readonly node?: string;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Its share of new connections, beside the others'; 1 when absent, 0: none as long as others have more. */
  readonly weight?: number;
  /** The service whose own address it is: nobody is led there. */
  readonly addressOf?: string;
  /** The nodes and zones it is best reached from, by the EndpointSlice; absent: no hint. */
  readonly hints?: { readonly nodes: readonly string[]; readonly zones: readonly string[] };
}

/** An address, a port and a protocol: names a frontend and a backend. */
export interface Tuple {
  readonly address: Address;
  readonly port: number;
  readonly proto: number;
}

/** `10.96.0.10:53/UDP`, `[fd00::a]:53/UDP` */
export function tupleText({ address, port, proto }: Tuple): string {
  return `${family(address) === 6 ? `[${address}]` : address}:${port}/${protoName(proto)}`;
}

const protoNames: Readonly<Record<number, string>> = { 6: "TCP", 17: "UDP", 132: "SCTP" };

export function protoName(proto: number): string {
  return protoNames[proto] ?? String(proto);
}

/** Where the load balancer that chooses stands. */
export interface Place {
  readonly nodeName?: string;
  readonly zone?: string;
}

/**
 * Which endpoints answer (KEP-1669): those that are ready, of them those meant for this place; when there are none ready,
 * those that terminate but still serve. The rest of what exists drains: a TCP connection may go on until its end. UDP has
 * none, so its flows move on.
 */
export function chooseBackends(
  all: readonly Backend[],
  place: Place = {},
): { backends: readonly Backend[]; draining: readonly Backend[] } {
  // As most services' are, so that nothing has to be chosen.
  if (all.every(isPlain)) return { backends: all, draining: [] };
  const endpoints = all.filter(({ addressOf }) => addressOf === undefined);
  let backends = nearest(
    endpoints.filter((endpoint) => endpoint.ready),
    place,
  );
  if (backends.length === 0)
    backends = endpoints.filter((endpoint) => endpoint.serving && endpoint.terminating);
  if (backends.some(({ weight }) => weight !== 0)) backends = backends.filter(({ weight }) => weight !== 0);
  if (backends.length === endpoints.length) return { backends, draining: [] };
  const chosen = new Set(backends);
  return {
    backends,
    draining: endpoints.filter((endpoint) => !chosen.has(endpoint) && endpoint.proto === 6),
  };
}

function isPlain({ ready, weight, addressOf, hints }: Backend): boolean {
  return ready && weight === undefined && addressOf === undefined && hints === undefined;
}

/**
 * Hints count only when every endpoint has one and one at least is for us (KEP-2433, KEP-3015): first those for the node,
 * then those for its zone.
 */
function nearest(ready: Backend[], { nodeName, zone }: Place): Backend[] {
  for (const [kind, name] of [
    ["nodes", nodeName],
    ["zones", zone],
  ] as const) {
    if (name === undefined || !ready.every(({ hints }) => (hints?.[kind].length ?? 0) > 0)) continue;
    const ours = ready.filter(({ hints }) => hints?.[kind].includes(name));
    if (ours.length > 0) return ours;
  }
  return ready;
}
