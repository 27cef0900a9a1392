// SPDX-License-Identifier: Apache-2.0
import type { Manifest, NamedPort } from "../policy/oracle/cluster.ts";

/**
 * Every form of peer and port that the policy languages have, a row each, for one pod in a namespace of its own: all of them can be in force
 * at once.
 */

export interface FormRow {
  readonly name: string;
  readonly direction: "egress" | "ingress";
  /** Rules of the direction. */
  readonly rules: readonly object[];
  readonly language: "NetworkPolicy" | "CiliumNetworkPolicy";
  /** Fields beside. */
  readonly more?: object;
}

const far = { matchLabels: { place: "far" } };
const peersSpace = { matchLabels: { role: "peers" } };
const farEndpoint = { matchLabels: { "k8s:io.kubernetes.pod.namespace": "peers", place: "far" } };
const anyPeer = { matchLabels: { "k8s:io.kubernetes.pod.namespace": "peers" } };

const np = (name: string, direction: FormRow["direction"], ...rules: object[]): FormRow => ({
  name,
  direction,
  rules,
  language: "NetworkPolicy",
});
const cnp = (name: string, direction: FormRow["direction"], rules: object[], more: object = {}): FormRow => ({
  name,
  direction,
  rules,
  language: "CiliumNetworkPolicy",
  more,
});
const ports = (...list: object[]) => ({ toPorts: [{ ports: list }] });

export const forms: readonly FormRow[] = [
  np("pods of namespaces", "egress", { to: [{ namespaceSelector: peersSpace, podSelector: far }] }),
  np("namespaces", "egress", { to: [{ namespaceSelector: peersSpace }] }),
  np("a block with a hole", "egress", {
    to: [
      { ipBlock: { cidr: "203.0.113.0/24", except: ["203.0.113.64/26"] } },
      { ipBlock: { cidr: "2001:db8::/32", except: ["2001:db8:1::/48"] } },
    ],
  }),
  np("a block that has pods", "egress", { to: [{ ipBlock: { cidr: "10.244.2.0/24" } }] }),
  np("a range of ports", "egress", { ports: [{ port: 79, endPort: 80 }] }),
  np("a port by name", "egress", { to: [{ namespaceSelector: {} }], ports: [{ port: "http" }] }),
  np("one protocol", "egress", { ports: [{ protocol: "UDP" }] }),
  np("from pods of namespaces", "ingress", { from: [{ namespaceSelector: peersSpace, podSelector: far }] }),
  np("from a block that has pods", "ingress", { from: [{ ipBlock: { cidr: "10.244.2.0/24" } }] }),
  np("into a port by name", "ingress", { ports: [{ port: "http" }, { port: "dns", protocol: "UDP" }] }),
  cnp("endpoints", "egress", [{ toEndpoints: [farEndpoint] }]),
  cnp("the cluster", "egress", [{ toEntities: ["cluster"] }]),
  cnp("the world", "egress", [{ toEntities: ["world"] }]),
  cnp("the world in IPv6", "egress", [{ toEntities: ["world-ipv6"] }]),
  cnp("the own node", "egress", [{ toEntities: ["host"] }]),
  cnp("other nodes", "egress", [{ toEntities: ["remote-node"] }]),
  cnp("nodes by their labels", "egress", [
    { toNodes: [{ matchLabels: { "kubernetes.io/hostname": "n2" } }] },
  ]),
  cnp("a CIDR", "egress", [{ toCIDR: ["203.0.113.5/32", "2001:db8::5"] }]),
  cnp("a CIDR with a hole", "egress", [
    { toCIDRSet: [{ cidr: "0.0.0.0/0", except: ["203.0.113.64/26"] }, { cidr: "2001:db8:1::/48" }] },
  ]),
  cnp("a group of CIDRs", "egress", [{ toCIDRSet: [{ cidrGroupRef: "partners" }] }]),
  cnp("groups by their labels", "egress", [
    { toCIDRSet: [{ cidrGroupSelector: { matchLabels: { trust: "some" } } }] },
  ]),
  cnp("a Service by its pods", "egress", [
    { toServices: [{ k8sService: { serviceName: "far-service", namespace: "peers" } }] },
  ]),
  cnp("a Service by its addresses", "egress", [
    { toServices: [{ k8sServiceSelector: { selector: { matchLabels: { kind: "written" } } } }] },
  ]),
  cnp("a port of any protocol", "egress", [ports({ port: "80" })]),
  cnp("a named port to endpoints", "egress", [
    { toEndpoints: [anyPeer], ...ports({ port: "http", protocol: "TCP" }) },
  ]),
  cnp("a range of ports in a rule of peers", "egress", [
    { toEndpoints: [anyPeer], ...ports({ port: "80", endPort: 81, protocol: "TCP" }) },
  ]),
  cnp("ICMP by name and number", "egress", [
    { icmps: [{ fields: [{ type: "EchoRequest" }, { family: "IPv6", type: 128 }] }] },
  ]),
  cnp("a denial", "egress", [{ toEntities: ["all"] }], { egressDeny: [{ toEndpoints: [farEndpoint] }] }),
  cnp("a denial of a port without default deny", "egress", [], {
    egressDeny: [ports({ port: "81", protocol: "TCP" })],
    enableDefaultDeny: { egress: false },
  }),
  cnp("from endpoints", "ingress", [{ fromEndpoints: [farEndpoint] }]),
  cnp("from the cluster into a port", "ingress", [
    { fromEntities: ["cluster"], ...ports({ port: "80", protocol: "ANY" }) },
  ]),
  cnp("a denial on the way in", "ingress", [{ fromEntities: ["all"] }], {
    ingressDeny: [{ fromEndpoints: [farEndpoint], ...ports({ port: "80", protocol: "TCP" }) }],
  }),
  cnp("ping on the way in", "ingress", [
    {
      icmps: [
        {
          fields: [
            { family: "IPv4", type: 8 },
            { family: "IPv6", type: "EchoRequest" },
          ],
        },
      ],
    },
  ]),
];

/** The namespace of a row, which holds the pod it is about. */
export function formNamespace(row: FormRow): string {
  return `form-${forms.indexOf(row)}`;
}

export function formPolicies(): Manifest[] {
  return forms.map((row): Manifest => {
    const { language, direction, rules, more } = row;
    const metadata = { name: "form", namespace: formNamespace(row) };
    const own = rules.length > 0 ? { [direction]: rules } : {};
    if (language === "CiliumNetworkPolicy")
      return {
        apiVersion: "cilium.io/v2",
        kind: language,
        metadata,
        spec: { endpointSelector: {}, ...own, ...more },
      };
    const policyTypes = [direction === "egress" ? "Egress" : "Ingress"];
    return {
      apiVersion: "networking.k8s.io/v1",
      kind: language,
      metadata,
      spec: { podSelector: {}, policyTypes, ...own },
    };
  });
}

/** What every pod of the forms listens on; `http` is another number where pods are `far`. */
export function formPorts(name: string): NamedPort[] {
  return [
    { name: "http", port: name === "far" ? 81 : 80, protocol: "TCP" },
    { name: "alt", port: name === "far" ? 80 : 81, protocol: "TCP" },
    { name: "game", port: 80, protocol: "UDP" },
    { name: "dns", port: 53, protocol: "UDP" },
  ];
}

function pod(namespace: string, name: string, nodeName: string): object {
  const ofPod = formPorts(name).map(({ name: port, port: containerPort, protocol }) => ({
    name: port,
    containerPort,
    protocol,
  }));
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { place: name } },
    spec: {
      nodeName,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: "main", image: "registry.example/served:1", ports: ofPod }],
    },
  };
}

/** A Service before each peer: its ports are not the pods'. */
function service(name: string, more: object): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "peers", labels: { kind: "selector" in more ? "selected" : "written" } },
    spec: {
      ipFamilyPolicy: "RequireDualStack",
      ports: [{ port: 8000, targetPort: 80, protocol: "TCP" }],
      ...more,
    },
  };
}

/** CIDR groups, Services and EndpointSlices that the rows speak of. */
export function formReferred(): Manifest[] {
  const slices = ["203.0.113.5", "2001:db8::5"].map((address, index) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `written-${index}`,
      namespace: "peers",
      labels: { "kubernetes.io/service-name": "written-service" },
    },
    addressType: index === 0 ? "IPv4" : "IPv6",
    endpoints: [{ addresses: [address] }],
    ports: [{ port: 80, protocol: "TCP" }],
  }));
  const group = {
    apiVersion: "cilium.io/v2",
    kind: "CiliumCIDRGroup",
    metadata: { name: "partners", labels: { trust: "some" } },
    spec: { externalCIDRs: ["203.0.113.64/26", "2001:db8:1::/48"] },
  };
  const services = [
    service("near-service", { selector: { place: "near" } }),
    service("far-service", { selector: { place: "far" } }),
    service("written-service", {}),
  ];
  return [group, ...services, ...slices] as Manifest[];
}

/** Everything but the policies: a pod a row on the first node, and the peers on both. */
export function formManifests(): object[] {
  const space = (name: string, labels: object) => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels },
  });
  return [
    space("peers", { role: "peers" }),
    ...forms.map((row) => space(formNamespace(row), { role: "subject" })),
    pod("peers", "near", "n1"),
    pod("peers", "far", "n2"),
    ...forms.map((row) => pod(formNamespace(row), "subject", "n1")),
    ...formReferred(),
  ];
}
