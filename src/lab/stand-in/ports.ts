// SPDX-License-Identifier: Apache-2.0
import type { Container, Pod, Probe, Service } from "../objects.ts";

export interface PlayedPort {
  readonly protocol: "TCP" | "UDP";
  readonly port: number;
}

/**
 * What a stand-in for this container listens on: its declared ports, the ports its probes ask, and what its
 * arguments say in the usual forms (`--http-port=8080`, `--udp-port 8081`, `--port=80`, `porter` with SERVE_PORT_80). Pure.
 */
export function playedPorts(container: Container): PlayedPort[] {
  const found = new Map<string, PlayedPort>();
  const add = (protocol: string, port: number) => {
    if ((protocol === "TCP" || protocol === "UDP") && Number.isInteger(port) && port > 0 && port < 65_536) {
      found.set(`${protocol}/${port}`, { protocol, port });
    }
  };
  for (const port of container.ports ?? []) add(port.protocol ?? "TCP", port.containerPort);
  for (const probe of [container.startupProbe, container.readinessProbe, container.livenessProbe]) {
    const port = probePort(probe);
    if (port !== undefined) add("TCP", port);
  }
  const words = [...(container.command ?? []), ...(container.args ?? [])];
  const udpOnly = words.includes("serve-hostname") && words.some((word) => /^--?udp(=true)?$/.test(word));
  for (const [i, word] of words.entries()) {
    const flag = /^--?(http-port|port|tcp-port|udp-port|listen-port)(?:=(\d+))?$/.exec(word);
    if (flag) add(flag[1] === "udp-port" || udpOnly ? "UDP" : "TCP", Number(flag[2] ?? words[i + 1]));
  }
  // The one server of the test images that listens without being told where.
  if (words.includes("netexec")) {
    if (!words.some((word) => /^--?http-port/.test(word))) add("TCP", 8080);
    if (!words.some((word) => /^--?udp-port/.test(word))) add("UDP", 8081);
  }
  if (words.includes("porter")) {
    for (const { name } of container.env ?? [])
      add("TCP", Number(/^SERVE_(?:TLS_)?PORT_(\d+)$/.exec(name)?.[1]));
  }
  return [...found.values()];
}

function probePort(probe: Probe | undefined): number | undefined {
  const port = probe?.httpGet?.port ?? probe?.tcpSocket?.port ?? probe?.grpc?.port;
  return typeof port === "number" ? port : undefined;
}

/**
 * The ports Services lead to on this pod by number: an image may listen on a port its manifest does not declare, and
 * who wrote the Service knows. Pure.
 */
export function servicePorts(pod: Pod, services: Iterable<Service>): PlayedPort[] {
  const found = new Map<string, PlayedPort>();
  const declared = new Set(
    pod.spec.containers.flatMap(playedPorts).map(({ protocol, port }) => `${protocol}/${port}`),
  );
  for (const { metadata, spec } of services) {
    const selector = Object.entries(spec.selector ?? {});
    if (metadata.namespace !== pod.metadata.namespace || selector.length === 0) continue;
    if (!selector.every(([key, value]) => pod.metadata.labels?.[key] === value)) continue;
    for (const port of spec.ports ?? []) {
      const protocol = port.protocol ?? "TCP";
      const number = port.targetPort ?? port.port;
      if (declared.has(`${protocol}/${number}`)) continue;
      if (typeof number === "number" && (protocol === "TCP" || protocol === "UDP")) {
        found.set(`${protocol}/${number}`, { protocol, port: number });
      }
    }
  }
  return [...found.values()];
}

const NAMES_A_PEER = /_(ADDR|ADDRESS|HOST|URL|URI|ENDPOINT|SERVICE)$/;
const MAX_CALLS = 32;

/**
 * Whom a container says it talks to: variables of its own manifest such as `CART_SERVICE_ADDR=cart:7070`. Calling them
 * now and then lets an application whose images are not here show its own traffic. Pure.
 */
export function peersInEnv(container: Container): string[] {
  const found = new Set<string>();
  for (const { name, value = "" } of container.env ?? []) {
    if (!NAMES_A_PEER.test(name)) continue;
    const peer = /^(?:https?:\/\/)?([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?:\d{1,5})(?:\/\S*)?$/.exec(value)?.[1];
    if (peer !== undefined && found.size < MAX_CALLS) found.add(`tcp://${peer}`);
  }
  return [...found];
}
