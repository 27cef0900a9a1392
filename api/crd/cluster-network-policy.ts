// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { cidr, isPortName, labelSelector, metadata, endPort as portNumber } from "./fields.ts";
import { quote, readManifest, withoutNulls } from "./manifest.ts";

/**
 * policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy, the experimental fields (nodes, domainNames) too: what bundle v0.2.0 of
 * sigs.k8s.io/network-policy-api takes and refuses. What of it is enforced is decided where it is compiled.
 */

/** Limits of the API: rules of a direction, peers and protocols of a rule, prefixes and domain names of a peer. */
const most = 25;

const oneOf = { minProperties: 1, maxProperties: 1 };

/** An object of which exactly one field is set. */
function exactlyOne<S extends z.core.$ZodLooseShape>(shape: S) {
  const names = Object.keys(shape);
  return z
    .strictObject(shape)
    .superRefine((value, context) => {
      const given = names.filter((name) => (value as Record<string, unknown>)[name] !== undefined);
      if (given.length === 1) return;
      const choice = names.join(", ").replace(/, (?=\w+$)/, " or ");
      if (given.length === 0) context.addIssue({ code: "custom", message: `needs ${choice}` });
      else context.addIssue({ code: "custom", path: [given[1]!], message: `can't stand beside ${given[0]}` });
    })
    .meta(oneOf);
}

const port = portNumber.min(1).max(65535);

const portRange = z
  .strictObject({ start: port, end: port })
  .superRefine(({ start, end }, context) => {
    if (start < end) return;
    context.addIssue({ code: "custom", path: ["end"], message: `${end} is not more than start, ${start}` });
  })
  .meta({
    "x-kubernetes-validations": [
      { rule: "self.start < self.end", message: "Start port must be less than End port" },
    ],
  });

const destinationPort = exactlyOne({ number: port.optional(), range: portRange.optional() });
/** The one thing to match by so far. */
const transport = exactlyOne({ destinationPort: destinationPort.optional() });

const protocol = exactlyOne({
  tcp: transport.optional(),
  udp: transport.optional(),
  sctp: transport.optional(),
  destinationNamedPort: z
    .string()
    .refine(isPortName, { error: (issue) => `${quote(issue.input)} is not the name of a port` })
    .optional(),
});

const pods = z.strictObject({ namespaceSelector: labelSelector.optional(), podSelector: labelSelector });
const namespacesOrPods = { namespaces: labelSelector.optional(), pods: pods.optional() };

const network = cidr.max(43).meta({ format: "cidr" });

const domainLabel = "[a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9])?";
/** A `*` stands for one or more whole labels, in front only. */
const domainName = z.string().regex(new RegExp(`^(\\*\\.)?(${domainLabel}\\.)+${domainLabel}\\.?$`), {
  error: (issue) => `${quote(issue.input)} is not a domain name`,
});

const egressPeer = exactlyOne({
  ...namespacesOrPods,
  nodes: labelSelector.optional(),
  networks: eachOnce(network).optional(),
  domainNames: eachOnce(domainName).optional(),
});

function eachOnce<T extends z.ZodType<string>>(item: T) {
  return z
    .array(item)
    .min(1)
    .max(most)
    .superRefine((values, context) => {
      for (const [index, value] of values.entries()) {
        if (values.indexOf(value) === index) continue;
        context.addIssue({ code: "custom", path: [index], message: `${quote(value)} is there twice` });
      }
    })
    .meta({ "x-kubernetes-list-type": "set" });
}

const common = {
  name: z.string().max(100).optional(),
  action: z.enum(["Accept", "Deny", "Pass"]),
  protocols: z.array(protocol).min(1).max(most).optional(),
};

const ingressRule = z.strictObject({
  ...common,
  from: z.array(exactlyOne(namespacesOrPods)).min(1).max(most),
});

const egressRule = z
  .strictObject({ ...common, to: z.array(egressPeer).min(1).max(most) })
  .superRefine(({ to, protocols, action }, context) => {
    const named = protocols?.findIndex((one) => one.destinationNamedPort !== undefined) ?? -1;
    for (const [index, peer] of to.entries()) {
      if (peer.domainNames && action !== "Accept") {
        const path = ["to", index, "domainNames"];
        context.addIssue({ code: "custom", path, message: "is for rules with action Accept alone" });
      }
      if (named >= 0 && !peer.namespaces && !peer.pods) {
        const path = ["protocols", named, "destinationNamedPort"];
        const field = peer.nodes ? "nodes" : peer.networks ? "networks" : "domainNames";
        context.addIssue({
          code: "custom",
          path,
          message: `can't stand beside to[${index}].${field}, whose ports have no names`,
        });
      }
    }
  })
  .meta({
    "x-kubernetes-validations": [
      {
        rule: "!(self.to.exists(p, has(p.networks) || has(p.nodes) || has(p.domainNames)) && has(self.protocols) && self.protocols.exists(p, has(p.destinationNamedPort)))",
        message:
          "destinationNamedPort is for rules whose peers are namespaces or pods: others have no named ports",
      },
    ],
  });

export const clusterNetworkPolicySpec = z.strictObject({
  tier: z.enum(["Admin", "Baseline"]),
  priority: z.int().min(0).max(1000).meta({ format: "int32" }),
  subject: exactlyOne(namespacesOrPods),
  ingress: z.array(ingressRule).max(most).optional(),
  egress: z.array(egressRule).max(most).optional(),
});

const clusterNetworkPolicy = z.strictObject({
  apiVersion: z.literal("policy.networking.k8s.io/v1alpha2"),
  kind: z.literal("ClusterNetworkPolicy"),
  metadata,
  spec: clusterNetworkPolicySpec,
  status: z.looseObject({}).optional(),
});

export type ClusterNetworkPolicy = z.output<typeof clusterNetworkPolicy>;
export type ClusterNetworkPolicySubject = ClusterNetworkPolicy["spec"]["subject"];
export type ClusterNetworkPolicyEgressPeer = z.output<typeof egressPeer>;
export type ClusterNetworkPolicyProtocol = z.output<typeof protocol>;

/** @throws WeftError E_MANIFEST with the path of the field that is wrong */
export function readClusterNetworkPolicy(object: unknown): ClusterNetworkPolicy {
  return readManifest(clusterNetworkPolicy, withoutNulls(object));
}

/** @throws WeftError E_MANIFEST with the path of the field that is wrong */
export function validateClusterNetworkPolicy(object: unknown): asserts object is ClusterNetworkPolicy {
  readClusterNetworkPolicy(object);
}
