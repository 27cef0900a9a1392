// SPDX-License-Identifier: Apache-2.0

/** A kind of object by where the API server serves it. The core group is "". */
export interface Resource {
  readonly group: string;
  readonly version: string;
  /** Lower-case plural: `services`. */
  readonly plural: string;
}

/** What every object has; the rest is the kind's own. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

export interface KubeList<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  /** There is a further page: give it back as `continueToken`. */
  readonly continueToken?: string;
}

export const resources = {
  nodes: { group: "", version: "v1", plural: "nodes" },
  namespaces: { group: "", version: "v1", plural: "namespaces" },
  pods: { group: "", version: "v1", plural: "pods" },
  configMaps: { group: "", version: "v1", plural: "configmaps" },
  services: { group: "", version: "v1", plural: "services" },
  endpointSlices: { group: "discovery.k8s.io", version: "v1", plural: "endpointslices" },
  networkPolicies: { group: "networking.k8s.io", version: "v1", plural: "networkpolicies" },
  leases: { group: "coordination.k8s.io", version: "v1", plural: "leases" },
  customResourceDefinitions: {
    group: "apiextensions.k8s.io",
    version: "v1",
    plural: "customresourcedefinitions",
  },
  ciliumNetworkPolicies: { group: "cilium.io", version: "v2", plural: "ciliumnetworkpolicies" },
  ciliumClusterwideNetworkPolicies: {
    group: "cilium.io",
    version: "v2",
    plural: "ciliumclusterwidenetworkpolicies",
  },
  ciliumCidrGroups: { group: "cilium.io", version: "v2", plural: "ciliumcidrgroups" },
  ciliumLocalRedirectPolicies: { group: "cilium.io", version: "v2", plural: "ciliumlocalredirectpolicies" },
  ciliumEgressGatewayPolicies: { group: "cilium.io", version: "v2", plural: "ciliumegressgatewaypolicies" },
  clusterNetworkPolicies: {
    group: "policy.networking.k8s.io",
    version: "v1alpha2",
    plural: "clusternetworkpolicies",
  },
  ciliumIdentities: { group: "cilium.io", version: "v2", plural: "ciliumidentities" },
  ciliumNodes: { group: "cilium.io", version: "v2", plural: "ciliumnodes" },
  ciliumEndpointSlices: { group: "cilium.io", version: "v2alpha1", plural: "ciliumendpointslices" },
  ciliumLoadBalancerIpPools: { group: "cilium.io", version: "v2", plural: "ciliumloadbalancerippools" },
  ciliumL2AnnouncementPolicies: {
    group: "cilium.io",
    version: "v2alpha1",
    plural: "ciliuml2announcementpolicies",
  },
  ciliumEndpoints: { group: "cilium.io", version: "v2", plural: "ciliumendpoints" },
  nodePolicyStatuses: { group: "weft.io", version: "v1alpha1", plural: "nodepolicystatuses" },
} as const satisfies Record<string, Resource>;

/** Path of a collection or, with a name, of an object. */
export function resourcePath(
  resource: Resource,
  at: {
    readonly namespace?: string | undefined;
    readonly name?: string | undefined;
    readonly subresource?: string | undefined;
  } = {},
): string {
  const parts = resource.group === "" ? ["api"] : ["apis", resource.group];
  parts.push(resource.version);
  if (at.namespace) parts.push("namespaces", at.namespace);
  parts.push(resource.plural);
  if (at.name) parts.push(at.name);
  if (at.subresource) parts.push(at.subresource);
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

/** `services`, `ciliumendpoints.cilium.io`: for messages. */
export function resourceName(resource: Resource): string {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}

/** `namespace/name`, or the name of what has no namespace. */
export function objectKey(object: KubeObject): string {
  const { namespace, name } = object.metadata ?? {};
  return namespace ? `${namespace}/${name}` : String(name);
}
