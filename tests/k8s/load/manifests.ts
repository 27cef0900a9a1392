// SPDX-License-Identifier: Apache-2.0
import { loadImage } from "./image.ts";

export const loadNamespace = "load";
export const echoPort = 7000;
export const servicePort = 70;
export const nodePort = 30070;

const meta = (name: string) => ({ name, namespace: loadNamespace });

export interface PodShape {
  readonly name: string;
  readonly node?: string;
  readonly app: string;
  readonly args: readonly string[];
  readonly hostNetwork?: boolean;
  /** A server: ready when its port answers. */
  readonly server?: boolean;
}

/** A pod that does one thing. It may run anywhere, also where the network is not ready yet, and ends quickly. */
export function podObject({ name, node, app, args, hostNetwork = false, server = false }: PodShape): object {
  const probe = { tcpSocket: { port: echoPort }, periodSeconds: 1, failureThreshold: 60 };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...meta(name), labels: { app, name } },
    spec: {
      ...(node !== undefined && { nodeSelector: { "kubernetes.io/hostname": node } }),
      hostNetwork,
      terminationGracePeriodSeconds: 8,
      containers: [
        {
          name: "load",
          image: loadImage,
          imagePullPolicy: "IfNotPresent",
          args: [...args],
          // A share of a busy machine: who measures must run.
          resources: { requests: { cpu: "250m", memory: "8Mi" } },
          ...(server && { readinessProbe: probe }),
        },
      ],
    },
  };
}

/**
 * What the clients talk to: on each node a server behind the Service `echo` and one that only pods `app: client` may reach; the Service is
 * reachable by its address and on a port of every node.
 */
export function serverObjects(nodes: readonly string[]): object[] {
  const server = (app: string, node: string) =>
    podObject({ name: `${app}-${node}`, node, app, args: ["serve", String(echoPort)], server: true });
  const ports = (["TCP", "UDP"] as const).map((protocol) => ({
    name: protocol.toLowerCase(),
    protocol,
    port: servicePort,
    targetPort: echoPort,
    nodePort,
  }));
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: loadNamespace } },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: meta("echo"),
      spec: { type: "NodePort", selector: { app: "echo" }, ports },
    },
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: meta("guarded"),
      spec: {
        podSelector: { matchLabels: { app: "guarded" } },
        policyTypes: ["Ingress"],
        ingress: [{ from: [{ podSelector: { matchLabels: { app: "client" } } }] }],
      },
    },
    ...nodes.flatMap((node) => [server("echo", node), server("guarded", node)]),
  ];
}
