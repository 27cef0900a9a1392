// SPDX-License-Identifier: Apache-2.0
import fc from "#kit/property.ts";
import { namespaces } from "./generate-cluster.ts";
import { block, cidr, expression, few, podSelector, portName, portNumber } from "./generate-selectors.ts";
import type { Bag } from "./oracle/cluster.ts";

const space = "k8s:io.kubernetes.pod.namespace";
const spaceLabel = "k8s:io.cilium.k8s.namespace.labels.";

const endpoints: fc.Arbitrary<Bag> = fc.oneof(
  { weight: 4, arbitrary: podSelector },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...namespaces).map((name) => ({ matchLabels: { [space]: name } })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ name: fc.constantFrom(...namespaces), app: fc.constantFrom("a", "b"), any: fc.boolean() })
      .map(({ name, app, any }) => ({
        matchLabels: { [any ? space.slice(4) : space]: name, [any ? "app" : "k8s:app"]: app },
      })),
  },
  {
    weight: 1,
    arbitrary: fc.record({ matchExpressions: fc.tuple(expression(["team", "env"], spaceLabel)) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      matchExpressions: fc.tuple(
        fc.constant({ key: space, operator: "In", values: ["y", "z"] }),
        expression(["app", "canary"]),
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      { matchLabels: { "k8s:io.cilium.k8s.policy.serviceaccount": "robot" } },
      { matchLabels: { "reserved:host": "" } },
      { matchLabels: { "reserved:remote-node": "" } },
      { matchLabels: { "reserved:world": "" } },
      { matchExpressions: [{ key: "reserved:world", operator: "DoesNotExist" }] },
    ),
  },
);

const entities = fc.constantFrom(
  "all",
  "world",
  "world-ipv4",
  "world-ipv6",
  "cluster",
  "cluster-mesh",
  "host",
  "remote-node",
  "kube-apiserver",
  "health",
  "none",
);

function peers(word: "from" | "to"): fc.Arbitrary<Bag> {
  return fc.oneof(
    { weight: 2, arbitrary: fc.constant({}) },
    { weight: 4, arbitrary: fc.record({ [`${word}Endpoints`]: fc.array(endpoints, { maxLength: 2 }) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        [`${word}CIDR`]: few(fc.oneof(cidr, fc.constantFrom("203.0.113.77", "2001:db8::5"))),
      }),
    },
    { weight: 2, arbitrary: fc.record({ [`${word}CIDRSet`]: few(fc.oneof(block, groupSet)) }) },
    ...(word === "to" ? [{ weight: 1, arbitrary: fc.record({ toServices: few(services) }) }] : []),
    { weight: 1, arbitrary: fc.record({ [`${word}Nodes`]: few(nodes) }) },
    { weight: 3, arbitrary: fc.record({ [`${word}Entities`]: few(entities) }) },
  );
}

const nodes = fc.constantFrom<Bag>(
  {},
  { matchLabels: { zone: "south" } },
  { matchLabels: { "k8s:node-role.kubernetes.io/control-plane": "" } },
  { matchExpressions: [{ key: "node-role.kubernetes.io/control-plane", operator: "DoesNotExist" }] },
  { matchExpressions: [{ key: "zone", operator: "NotIn", values: ["south"] }] },
);

/** Groups and Services that are there, and that are not. */
const groupSet = fc
  .tuple(
    fc.constantFrom(
      { cidrGroupRef: "partners" },
      { cidrGroupRef: "absent" },
      { cidrGroupSelector: { matchLabels: { trust: "some" } } },
      { cidrGroupSelector: {} },
    ),
    fc.subarray(["203.0.113.64/26", "203.0.113.5/32"]),
  )
  .map(([named, except]): Bag => (except.length > 0 ? { ...named, except } : named));
const services = fc.constantFrom<Bag>(
  { k8sService: { serviceName: "web", namespace: "x" } },
  { k8sService: { serviceName: "billing", namespace: "y" } },
  { k8sService: { serviceName: "billing", namespace: "z" } },
  { k8sServiceSelector: { selector: { matchLabels: { exposed: "yes" } } } },
  { k8sServiceSelector: { selector: { matchLabels: { exposed: "yes" } }, namespace: "x" } },
);

const protocol = fc.constantFrom("TCP", "UDP", "SCTP", "ANY");
const port: fc.Arbitrary<Bag> = fc.oneof(
  fc.record({ port: portName, protocol }),
  fc.record({ port: fc.constant("79"), endPort: fc.constantFrom(79, 80, 82, 65535), protocol }),
  fc.record({ port: fc.constant("0"), protocol }),
  fc.record({ port: portNumber.map(String) }),
  fc.record({ port: portNumber.map(String), protocol }),
  fc.record({ port: portNumber.map(String), protocol }),
);

const icmp = fc.oneof(
  fc.record({ type: fc.constantFrom<string | number>(8, "EchoRequest", "Echo", "13", 3) }),
  fc.record({ family: fc.constant("IPv4"), type: fc.constantFrom<string | number>(8, "Timestamp") }),
  fc.record({
    family: fc.constant("IPv6"),
    type: fc.constantFrom<string | number>(128, "EchoRequest", 1, "8"),
  }),
);

const ports: fc.Arbitrary<Bag> = fc.oneof(
  { weight: 2, arbitrary: fc.constant({}) },
  { weight: 4, arbitrary: fc.record({ toPorts: few(fc.record({ ports: few(port) })) }) },
  { weight: 1, arbitrary: fc.record({ icmps: few(fc.record({ fields: few(icmp) })) }) },
);

const rule = (word: "from" | "to") =>
  fc.tuple(peers(word), ports).map(([whom, where]): Bag => ({ ...whom, ...where }));
const rules = (word: "from" | "to") => fc.array(rule(word), { maxLength: 2 });

/** By their Node's labels, those of this node and of others. */
const nodeSubject = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Bag>({}) },
  { weight: 1, arbitrary: nodes },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Bag>(
      { matchLabels: { "k8s:zone": "north" } },
      { matchLabels: { "any:zone": "south" } },
      { matchExpressions: [{ key: "app", operator: "DoesNotExist" }] },
    ),
  },
);

function specOf(subject: { readonly [selector: string]: fc.Arbitrary<Bag> }): fc.Arbitrary<Bag> {
  const fields = {
    ingress: rules("from"),
    ingressDeny: rules("from"),
    egress: rules("to"),
    egressDeny: rules("to"),
    enableDefaultDeny: fc.record({ ingress: fc.boolean(), egress: fc.boolean() }, { requiredKeys: [] }),
  };
  return fc.tuple(fc.record(subject), fc.record(fields, { requiredKeys: [] })).map(
    ([about, more]): Bag => ({
      ...about,
      ...(Object.keys(more).some(isSection) ? {} : { ingress: [{}] }),
      ...more,
    }),
  );
}

function isSection(field: string): boolean {
  return ["ingress", "ingressDeny", "egress", "egressDeny"].includes(field);
}

/** One rule set of a CiliumNetworkPolicy. */
export const ciliumSpec = specOf({ endpointSelector: podSelector });
/** One rule set of a policy about nodes. */
export const nodeSpec = specOf({ nodeSelector: nodeSubject });
