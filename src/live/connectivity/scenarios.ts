// SPDX-License-Identifier: Apache-2.0
import { addressesOf, type Check, type Context, expectAll, nodeAddresses } from "./context.ts";
import { nodePortRole, podName, type Role } from "./manifests.ts";
import { policyScenarios } from "./policy-scenarios.ts";
import { hostPorts, podPorts } from "./protocol.ts";
import type { Scenario } from "./scenario.ts";

type Protocol = "tcp" | "udp" | "icmp";

/** Attempts at every address of a pod; the answer names the pod. */
export function toPod(context: Context, from: Role, to: Role, protocols: readonly Protocol[]): Check[] {
  const pod = context.pods.get(to);
  const { main } = pod?.spec.hostNetwork ? hostPorts : podPorts;
  return addressesOf(context, to).flatMap((host) =>
    protocols.map(
      (kind): Check =>
        kind === "icmp"
          ? { from, to: `${to} ${host} (ping)`, attempt: { kind, host } }
          : {
              from,
              to: place(to, host, main, kind),
              attempt: { kind, host, port: main },
              text: `${podName(to)} `,
            },
    ),
  );
}

function place(name: string, host: string, port: number, protocol: string): string {
  return `${name} ${host.includes(":") ? `[${host}]` : host}:${port}/${protocol.toUpperCase()}`;
}

function toService(context: Context, from: Role, to: Role, protocols: readonly ("tcp" | "udp")[]): Check[] {
  const addresses = context.services.get(to)?.spec.clusterIPs ?? [];
  return addresses.flatMap((host) =>
    protocols.map((kind) => ({
      from,
      to: place(`service ${podName(to)}`, host, 80, kind),
      attempt: { kind, host, port: 80 },
      text: `${podName(to)} `,
    })),
  );
}

function toNodePort(context: Context, from: Role): Check[] {
  const roles = [...context.pods.keys()];
  const to = nodePortRole(roles.map((role) => ({ role, node: "", hostNetwork: false })));
  const ports = context.services.get(to)?.spec.ports ?? [];
  return context.nodes.flatMap((node, index) =>
    nodeAddresses(context, index).flatMap((host) =>
      ports.map(({ protocol, nodePort = 0 }): Check => {
        const kind = protocol === "UDP" ? "udp" : "tcp";
        return {
          from,
          to: place(`node port of ${node.metadata.name}`, host, nodePort, kind),
          attempt: { kind, host, port: nodePort },
          text: `${podName(to)} `,
        };
      }),
    ),
  );
}

const datapathHint =
  "weft status; weft db show endpoints and routes on both nodes; the underlay must pass VXLAN (UDP 8472) with tunnel routing";
const serviceHint =
  "weft service list: has the frontend its backends? weft bpf lb list shows what the kernel holds";
const all: readonly Protocol[] = ["tcp", "udp", "icmp"];

const pathScenarios: readonly Scenario[] = [
  {
    name: "pod-same-node",
    shows: "pods of one node reach each other by TCP, UDP and ping",
    hint: datapathHint,
    run: (context) => expectAll(context, toPod(context, "client", "near", all)),
  },
  {
    name: "pod-other-node",
    shows: "pods reach pods of another node by TCP, UDP and ping, in both directions",
    twoNodes: true,
    hint: datapathHint,
    run: (context) =>
      expectAll(context, [...toPod(context, "client", "far", all), ...toPod(context, "far", "client", all)]),
  },
  {
    name: "pod-service",
    shows: "pods reach Services by their cluster IPs, over TCP and UDP",
    hint: serviceHint,
    run: (context) =>
      expectAll(
        context,
        [...context.services.keys()]
          .filter((to) => to !== "client")
          .flatMap((to) => toService(context, "client", to, ["tcp", "udp"])),
      ),
  },
  {
    name: "pod-node-port",
    shows: "pods reach a NodePort at every node",
    hint: serviceHint,
    run: (context) => expectAll(context, toNodePort(context, "client")),
  },
  {
    name: "hairpin",
    shows: "a pod reaches itself through its own Service",
    hint: serviceHint,
    run: (context) => expectAll(context, toService(context, "client", "client", ["tcp", "udp"])),
  },
  {
    name: "host-pod",
    shows: "processes of a node reach pods of this and other nodes",
    hint: datapathHint,
    run: (context) =>
      expectAll(
        context,
        (["near", "far"] as const).flatMap((to) => toPod(context, "host", to, all)),
      ),
  },
  {
    name: "host-service",
    shows: "processes of nodes reach Services and node ports",
    hint: serviceHint,
    run: (context) =>
      expectAll(context, [
        ...toService(context, "host", nodePortRoleOf(context), ["tcp", "udp"]),
        ...toNodePort(context, "host"),
        ...(context.pods.has("farHost") ? toNodePort(context, "farHost") : []),
      ]),
  },
  {
    name: "pod-host",
    shows: "pods reach processes of their own and of other nodes",
    hint: "a firewall of the node? weft observe --from-pod shows whether packets left",
    run: (context) =>
      expectAll(
        context,
        (["host", "farHost"] as const).flatMap((to) => toPod(context, "client", to, all)),
      ),
  },
  {
    name: "pod-api-server",
    shows: "pods reach the Kubernetes API by its Service",
    hint: serviceHint,
    run: ({ apiServer, ...context }) =>
      expectAll(
        { apiServer, ...context },
        apiServer.addresses.map((host) => ({
          from: "client",
          to: place("API server", host, apiServer.port, "tcp"),
          attempt: { kind: "https", host, port: apiServer.port },
          text: "HTTP",
        })),
      ),
  },
  {
    name: "dns",
    shows: "pods resolve names of Services by the cluster's DNS",
    hint: "kubectl -n kube-system get pods -l k8s-app=kube-dns; weft observe --to-port 53",
    run: (context) =>
      expectAll(
        context,
        [
          { name: "near", text: context.services.get("near")?.spec.clusterIPs?.[0] ?? "" },
          { name: "kubernetes.default", text: context.apiServer.addresses[0] ?? "" },
        ].map(({ name, text }) => ({
          from: "client",
          to: `name ${name}`,
          attempt: { kind: "name", name },
          text,
        })),
      ),
  },
  {
    name: "large-packets",
    shows: "much data and datagrams larger than a packet come through whole",
    hint: "path MTU: the underlay's MTU must hold pods' MTU and the tunnel's 50 bytes; weft db show nodes",
    run: (context) =>
      expectAll(
        context,
        (["near", "far"] as const).flatMap((to) =>
          addressesOf(context, to).flatMap((host): Check[] => [
            {
              from: "client",
              to: `${place(to, host, podPorts.main, "tcp")} 2 MB there and back`,
              attempt: { kind: "bulk", host, port: podPorts.main, bytes: 2_000_000 },
            },
            {
              from: "client",
              to: `${place(to, host, podPorts.main, "udp")} 8000 bytes`,
              attempt: { kind: "datagram", host, port: podPorts.main, bytes: 8000 },
            },
          ]),
        ),
      ),
  },
];

function nodePortRoleOf(context: Context): Role {
  return context.pods.has("far") ? "far" : "near";
}

/** In the order they run. */
export const scenarios: readonly Scenario[] = [...pathScenarios, ...policyScenarios];
