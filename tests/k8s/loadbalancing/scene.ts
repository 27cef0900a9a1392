// SPDX-License-Identifier: Apache-2.0
/** Objects of the load-balancing tests: pods that answer, pods that ask, Services, pools and policies. */
import { agnhostImage } from "../build/images.ts";
import { loadImage } from "../load/image.ts";
import { echoPort } from "../load/manifests.ts";

export const namespace = "balance";
/** On the nodes' network, nobody's. */
export const pool = { v4: ["10.240.0.210", "10.240.0.219"], v6: ["fd00:240::d0", "fd00:240::df"] } as const;
export const egressIp = "10.240.0.230";
/** Nobody has it: clouds answer there. */
export const metadataAddress = "169.254.169.254";
/** Labels of nodes, given one after the other: who has one first is whom the failure is about. */
export const edge = "weft.test/edge";
export const forwardingMode = "service.cilium.io/forwarding-mode";

const meta = (name: string, more: object = {}) => ({ name, namespace, ...more });

interface Pod {
  readonly name: string;
  readonly app: string;
  readonly node: string;
}

/** Answers HTTP: `/hostname` its own name, `/clientip` whom it sees. */
function web({ name, app, node }: Pod): object {
  const readinessProbe = { httpGet: { path: "/hostname", port: 8080 }, periodSeconds: 1 };
  const container = {
    name: "web",
    image: agnhostImage,
    args: ["netexec", "--http-port=8080"],
    readinessProbe,
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: meta(name, { labels: { app } }),
    spec: {
      nodeSelector: { "kubernetes.io/hostname": node },
      terminationGracePeriodSeconds: 0,
      containers: [{ ...container, ports: [{ name: "http", containerPort: 8080 }] }],
    },
  };
}

/** Servers that echo; `replicas` of them, on any node but the excluded one. */
function echo(app: string, replicas: number, node: string): object {
  const readinessProbe = { tcpSocket: { port: echoPort }, periodSeconds: 1 };
  // They serve on after their end has begun: until an agent that was killed knows of it, also on a busy machine.
  const lifecycle = { preStop: { sleep: { seconds: 12 } } };
  const args = ["serve", String(echoPort)];
  const container = { name: "echo", image: loadImage, args, readinessProbe, lifecycle };
  const away = { key: "kubernetes.io/hostname", operator: "NotIn", values: [node] };
  const nodeAffinity = {
    requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [away] }] },
  };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: meta(app),
    spec: {
      replicas,
      selector: { matchLabels: { app } },
      template: {
        metadata: { labels: { app } },
        spec: {
          affinity: { nodeAffinity },
          terminationGracePeriodSeconds: 30,
          containers: [{ ...container, imagePullPolicy: "IfNotPresent" }],
        },
      },
    },
  };
}

interface Shape {
  readonly app: string;
  readonly type?: "ClusterIP" | "NodePort" | "LoadBalancer";
  readonly targetPort?: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

function service(name: string, { app, type = "LoadBalancer", targetPort = 8080, annotations = {} }: Shape) {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: meta(name, { annotations, labels: { color: "blue" } }),
    spec: {
      type,
      ipFamilyPolicy: "RequireDualStack",
      selector: { app },
      ports: [{ name: "http", port: 80, targetPort }],
    },
  };
}

/** Pods and Services: `near` has what answers, `edges` are the nodes that announce and serve as gateways, one after the other. */
export function objects({
  near,
  edges,
}: {
  readonly near: string;
  readonly edges: readonly string[];
}): object[] {
  const [first = "", second = ""] = edges;
  const own: Pick<Shape, "app" | "targetPort"> = { app: "echo", targetPort: echoPort };
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
    web({ name: "web", app: "web", node: near }),
    web({ name: "client", app: "client", node: near }),
    web({ name: "proxy-near", app: "proxy", node: near }),
    web({ name: "proxy-far", app: "proxy", node: second }),
    web({ name: "far", app: "far", node: second }),
    echo("echo", 2, first),
    echo("roll", 10, first),
    service("web", { app: "web" }),
    service("kept", { app: "web", type: "NodePort", annotations: { [forwardingMode]: "dsr" } }),
    service("echo", own),
    service("roll", { ...own, app: "roll" }),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: meta("headless"),
      spec: { clusterIP: "None", selector: { app: "web" }, ports: [{ port: 80 }] },
    },
  ];
}

export const directNamespace = "direct";

/** On a node a pod that says who asks, by TCP and UDP, and one that echoes; of each a Service under direct server return. */
export function directObjects(node: string): object[] {
  const own = (name: string, more: object = {}) => ({ name, namespace: directNamespace, ...more });
  const pod = (name: string, container: object) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: own(name, { labels: { app: name } }),
    spec: {
      nodeSelector: { "kubernetes.io/hostname": node },
      terminationGracePeriodSeconds: 0,
      containers: [{ name, imagePullPolicy: "IfNotPresent", ...container }],
    },
  });
  const service = (name: string, ports: readonly (readonly [protocol: string, targetPort: number])[]) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: own(name, { annotations: { [forwardingMode]: "dsr" } }),
    spec: {
      type: "NodePort",
      ipFamilyPolicy: "PreferDualStack",
      selector: { app: name },
      ports: ports.map(([protocol, targetPort]) => {
        return { name: protocol.toLowerCase(), protocol, port: 80, targetPort };
      }),
    },
  });
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: directNamespace } },
    pod("seen", { image: agnhostImage, args: ["netexec", "--http-port=8080", "--udp-port=8081"] }),
    pod("echo", { image: loadImage, args: ["serve", String(echoPort)] }),
    service("seen", [
      ["TCP", 8080],
      ["UDP", 8081],
    ]),
    service("echo", [
      ["TCP", echoPort],
      ["UDP", echoPort],
    ]),
  ];
}

export const lbPool = {
  apiVersion: "cilium.io/v2",
  kind: "CiliumLoadBalancerIPPool",
  metadata: { name: "blue" },
  spec: {
    blocks: [pool.v4, pool.v6].map(([start, stop]) => ({ start, stop })),
    serviceSelector: { matchLabels: { color: "blue" } },
  },
};

export const l2Policy = {
  apiVersion: "cilium.io/v2alpha1",
  kind: "CiliumL2AnnouncementPolicy",
  metadata: { name: "edges" },
  spec: { loadBalancerIPs: true, nodeSelector: { matchExpressions: [{ key: edge, operator: "Exists" }] } },
};

/** What the client sends outside: IPv4 as one address, IPv6 as its gateway's own. */
export function egressPolicies(outside: { readonly v4: string; readonly v6: string }): object[] {
  const gateway = { nodeSelector: { matchExpressions: [{ key: edge, operator: "Exists" }] } };
  const policy = (name: string, destination: string, egressGateway: object) => ({
    apiVersion: "cilium.io/v2",
    kind: "CiliumEgressGatewayPolicy",
    metadata: { name },
    spec: {
      selectors: [
        { podSelector: { matchLabels: { app: "client", "io.kubernetes.pod.namespace": namespace } } },
      ],
      destinationCIDRs: [destination],
      egressGateway,
    },
  });
  return [
    policy("client-v4", `${outside.v4}/32`, { ...gateway, egressIP: egressIp }),
    policy("client-v6", `${outside.v6}/128`, gateway),
  ];
}

/** A cloud's metadata address and a Service, both to the node's own `proxy`. */
export const redirects = [
  [
    "metadata",
    { addressMatcher: { ip: metadataAddress, toPorts: [{ port: "80", protocol: "TCP" }] } },
  ] as const,
  ["web", { serviceMatcher: { serviceName: "web", namespace } }] as const,
].map(([name, redirectFrontend]) => ({
  apiVersion: "cilium.io/v2",
  kind: "CiliumLocalRedirectPolicy",
  metadata: meta(name),
  spec: {
    redirectFrontend,
    skipRedirectFromBackend: true,
    redirectBackend: {
      localEndpointSelector: { matchLabels: { app: "proxy" } },
      toPorts: [{ port: "8080", protocol: "TCP" }],
    },
  },
}));
