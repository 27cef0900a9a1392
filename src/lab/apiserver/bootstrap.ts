// SPDX-License-Identifier: Apache-2.0
import { customResourceDefinitions } from "#api/crd/definitions.ts";
import { nthAddress, parsePrefix } from "#model/ip.ts";
import type { KubeObject } from "./object.ts";
import type { Catalog } from "./resource.ts";
import { objectKey, type Store } from "./store.ts";
import { createObject } from "./write.ts";

const namespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];

export interface FirstObjects {
  /** The authority's certificate, PEM. */
  readonly ca: string;
  readonly serviceCidrs: readonly string[];
}

/**
 * What a new cluster holds: the usual namespaces, in each namespace (later ones too) its service account and the
 * authority's certificate, the Service `kubernetes`, and the definitions of the kinds Weft reads.
 */
export function createFirstObjects(store: Store, catalog: Catalog, { ca, serviceCidrs }: FirstObjects): void {
  const create = (plural: string, namespace: string | undefined, body: KubeObject) =>
    createObject(store, { resource: catalog.find("", "v1", plural)!, namespace }, body, {
      manager: "weft-lab",
    });
  store.listen("/namespaces", (event) => {
    if (event.type !== "ADDED") return;
    const namespace = event.object.metadata.name;
    create("serviceaccounts", namespace, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "default" },
    });
    const data = { "ca.crt": ca };
    create("configmaps", namespace, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "kube-root-ca.crt" },
      data,
    });
  });
  const definitions = catalog.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")!;
  for (const definition of customResourceDefinitions) {
    createObject(store, { resource: definitions, namespace: undefined }, toJson(definition));
  }
  for (const name of namespaces)
    create("namespaces", undefined, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  const labels = { component: "apiserver", provider: "kubernetes" };
  const clusterIP = serviceCidrs[0] && nthAddress(parsePrefix(serviceCidrs[0]), 1);
  const ports = [{ name: "https", port: 443, protocol: "TCP", targetPort: 6443 }];
  create("services", "default", {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "kubernetes", labels },
    spec: { ports, ...(clusterIP ? { clusterIP } : {}) },
  });
}

/** Where the Service `kubernetes` leads: an EndpointSlice per family and Endpoints, for addresses the pods can reach. */
export function advertise(store: Store, catalog: Catalog, addresses: readonly string[], port: number): void {
  const metadata = { name: "kubernetes", labels: { "kubernetes.io/service-name": "kubernetes" } };
  const families = Map.groupBy(addresses, (address) => (address.includes(":") ? "IPv6" : "IPv4"));
  for (const [addressType, list] of families) {
    const name = addressType === "IPv4" ? "kubernetes" : "kubernetes-ipv6";
    const resource = catalog.find("discovery.k8s.io", "v1", "endpointslices")!;
    const slice: KubeObject = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { ...metadata, labels: { ...metadata.labels }, name },
      addressType,
      endpoints: list.map((address) => ({ addresses: [address], conditions: { ready: true } })),
      ports: [{ name: "https", port, protocol: "TCP" }],
    };
    if (!store.get(resource.storage, objectKey("default", name)))
      createObject(store, { resource, namespace: "default" }, slice);
  }
}

/** Plain JSON of an object that is typed more narrowly: undefined fields go. */
function toJson(object: unknown): KubeObject {
  return JSON.parse(JSON.stringify(object)) as KubeObject;
}
