// SPDX-License-Identifier: Apache-2.0
/** The services of the bench's cluster, as objects of the API. All are in namespace `bench`. */
import type { KubeObject } from "#k8s/resource.ts";

export const namespace = "bench";
export const endpointsEach = 10;
/** The endpoints of `near` are ports of one pod, from this one on. */
export const nearPort = 7700;
export const movingPort = 7750;
export const nodePort = 30_080;
/** Where `near` answers; each of its twins has an address after it. */
export const nearAddress = (twin = 0) => `10.96.77.${1 + twin}`;
export const movingAddress = "10.96.78.1";
/** Services with the endpoints of `near`, so that one can be chosen by the place kube-proxy has given its rule. */
export const twins = 15;
/** Of the bench's own services, at every size: `near`, `moving`, `outside`. */
const own = 3;

/** What has to be there for so many services in all. */
export function serviceNames(services: number): string[] {
  const twinsThen = services < 100 ? 0 : twins;
  const others = Math.max(0, services - own - twinsThen);
  return [
    ...Array.from({ length: twinsThen }, (_, i) => `near-${i + 1}`),
    ...Array.from({ length: others }, (_, i) => `other-${i}`),
  ];
}

/** Addresses and ports that a node serves then, of the bench's services and of the API server: no fewer. */
export function leastFrontends(services: number): number {
  const names = serviceNames(services);
  const ports = names.reduce((sum, name) => sum + (name.startsWith("near-") ? 2 : 1), 0);
  // near tcp and udp; moving; outside, also at its port of the node and of loopback; kubernetes.
  return ports + 2 + 1 + 3 + 1;
}

interface Port {
  readonly name: string;
  readonly port: number;
  readonly protocol: "TCP" | "UDP";
  readonly nodePort?: number;
}

function service(name: string, clusterIP: string, ports: readonly Port[]): KubeObject {
  const type = ports.some((port) => port.nodePort !== undefined) ? "NodePort" : "ClusterIP";
  const object = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: { type, clusterIP, ports },
  };
  return object;
}

interface SliceOptions {
  readonly name: string;
  readonly service: string;
  readonly ports: readonly Port[];
  readonly addresses: readonly string[];
}

const madeByController = { "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io" };

/** With all that the controller writes of a pod: agents have to read it too. */
export function slice({ name, service, ports, addresses }: SliceOptions): KubeObject {
  const object = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace, labels: { ...madeByController, "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    ports,
    endpoints: addresses.map((address, i) => ({
      addresses: [address],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: `elsewhere-${i}`,
      targetRef: { kind: "Pod", namespace, name: `${name}-${i}`, uid: `${name}-${address}` },
    })),
  };
  return object;
}

const both = (port: number): Port[] => [
  { name: "tcp", port, protocol: "TCP" },
  { name: "udp", port, protocol: "UDP" },
];

/** `near` or a twin: ten endpoints that are ports of the pod at `address`, each in a slice of its own. */
export function near(address: string, twin = 0): KubeObject[] {
  const name = twin === 0 ? "near" : `near-${twin}`;
  const slices = Array.from({ length: endpointsEach }, (_, i) =>
    slice({ name: `${name}-s${i}`, service: name, ports: both(nearPort + i), addresses: [address] }),
  );
  return [service(name, nearAddress(twin), both(80)), ...slices];
}

const movingPorts = (port: number): Port[] => [{ name: "udp", port, protocol: "UDP" }];

/** The service whose one endpoint moves between two pods. */
export function moving(address: string): KubeObject[] {
  return [service("moving", movingAddress, movingPorts(80)), movingSlice(address)];
}

export function movingSlice(address: string): KubeObject {
  return slice({
    name: "moving",
    service: "moving",
    ports: movingPorts(movingPort),
    addresses: [address],
  });
}

/** The one asked from outside, at a port of each node; its endpoints are pods of other nodes. */
export function outside(): KubeObject[] {
  const port: Port = { name: "udp", port: 80, protocol: "UDP" };
  const addresses = Array.from({ length: endpointsEach }, (_, i) => `10.201.0.${1 + i}`);
  return [
    service("outside", "10.96.79.1", [{ ...port, nodePort }]),
    slice({ name: "outside", service: "outside", ports: [{ ...port, port: 8080 }], addresses }),
  ];
}

/** One of those that are there for their number: endpoints that no other has. */
export function other(index: number, endpoints = endpointsEach): KubeObject[] {
  const port: Port = { name: "http", port: 80, protocol: "TCP" };
  const addresses = Array.from({ length: endpoints }, (_, i) => {
    const n = index * endpoints + i;
    return `10.${128 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
  });
  const name = `other-${index}`;
  return [
    service(name, `10.96.${128 + (index >> 8)}.${index & 255}`, [port]),
    slice({ name: `${name}-s`, service: name, ports: [{ ...port, port: 8080 }], addresses }),
  ];
}

/** The objects of a service of {@link serviceNames}. `nearAt`: the pod that answers for `near`. */
export function objectsOf(name: string, nearAt: string): KubeObject[] {
  const [, kind, number] = /^(near|other)-(\d+)$/.exec(name) ?? [];
  if (number === undefined) throw new Error(`no service ${name}`);
  return kind === "near" ? near(nearAt, Number(number)) : other(Number(number));
}
