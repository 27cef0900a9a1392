// SPDX-License-Identifier: Apache-2.0
import { echoPort, nodePort, servicePort } from "./manifests.ts";

/** Addresses the clients talk to. `near`: on the clients' node, `far`: on another. */
export interface Targets {
  readonly near: Servers;
  readonly far: Servers;
  readonly service: string;
  readonly dns: string;
  /** Of the nodes. */
  readonly nearNode: string;
  readonly farNode: string;
}

export interface Servers {
  readonly echo: string;
  /** Reached by pods `app: client` only. */
  readonly guarded: string;
}

type Kind = "icmp" | "udp" | "connect" | "dns" | "stream";

/** Arguments of `weft-load run`: name, kind, address, port, times a second (streams: KiB a second). */
const flow = (name: string, kind: Kind, to: string, rest: string) => `${name} ${kind} ${to} ${rest}`;

const question = "echo.load.svc.cluster.local";

/** Of a pod with `app: client`: everything a pod talks to, the direct ways under a policy. */
export function podFlows({ near, far, service, dns, farNode }: Targets): string[] {
  const direct = (name: string, address: string) => [
    flow(`pod/${name}/icmp`, "icmp", address, "0 100"),
    flow(`pod/${name}/udp`, "udp", address, `${echoPort} 100`),
    flow(`pod/${name}/stream`, "stream", address, `${echoPort} 400`),
    flow(`pod/${name}/connect`, "connect", address, `${echoPort} 50`),
  ];
  return [
    ...direct("near", near.guarded),
    ...direct("far", far.guarded),
    flow("pod/service/connect", "connect", service, `${servicePort} 50`),
    flow("pod/service/udp", "udp", service, `${servicePort} 50`),
    flow("pod/service/stream", "stream", service, `${servicePort} 200`),
    flow("pod/nodeport/connect", "connect", farNode, `${nodePort} 50`),
    flow("pod/dns", "dns", dns, `53 20 ${question}`),
  ];
}

/** Of a process in a node's own network. */
export function nodeFlows({ near, far, service, dns, farNode }: Targets): string[] {
  return [
    flow("node/near/icmp", "icmp", near.echo, "0 100"),
    flow("node/far/icmp", "icmp", far.echo, "0 100"),
    flow("node/near/stream", "stream", near.echo, `${echoPort} 200`),
    flow("node/far/stream", "stream", far.echo, `${echoPort} 200`),
    flow("node/far/connect", "connect", far.echo, `${echoPort} 50`),
    flow("node/service/connect", "connect", service, `${servicePort} 50`),
    flow("node/service/udp", "udp", service, `${servicePort} 50`),
    flow("node/nodeport/connect", "connect", farNode, `${nodePort} 50`),
    flow("node/dns", "dns", dns, `53 20 ${question}`),
  ];
}

/** Of a host outside: it knows the nodes' addresses only. */
export function outsideFlows({ nearNode, farNode }: Targets): string[] {
  return [nearNode, farNode].flatMap((address, i) => {
    const name = i === 0 ? "near" : "far";
    return [
      flow(`outside/${name}/icmp`, "icmp", address, "0 100"),
      flow(`outside/${name}/connect`, "connect", address, `${nodePort} 50`),
      flow(`outside/${name}/udp`, "udp", address, `${nodePort} 50`),
      flow(`outside/${name}/stream`, "stream", address, `${nodePort} 200`),
    ];
  });
}

/** Of a pod that may not: none of it may ever be answered. */
export function deniedFlows({ near, far }: Targets): string[] {
  return Object.entries({ near: near.guarded, far: far.guarded }).flatMap(([name, address]) => [
    flow(`denied/${name}/icmp`, "icmp", address, "0 20"),
    flow(`denied/${name}/udp`, "udp", address, `${echoPort} 20`),
    flow(`denied/${name}/connect`, "connect", address, `${echoPort} 10`),
  ]);
}
