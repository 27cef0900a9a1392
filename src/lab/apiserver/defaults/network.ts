// SPDX-License-Identifier: Apache-2.0
import { ensureObject, isObject, type KubeObject, listAt, setDefault } from "../object.ts";

export function defaultService(draft: KubeObject): void {
  const spec = ensureObject(draft, "spec");
  setDefault(spec, "type", "ClusterIP");
  setDefault(spec, "sessionAffinity", "None");
  if (spec["sessionAffinity"] === "ClientIP")
    setDefault(spec, "sessionAffinityConfig", { clientIP: { timeoutSeconds: 10800 } });
  else delete spec["sessionAffinityConfig"];
  const external = spec["type"] === "NodePort" || spec["type"] === "LoadBalancer";
  if (external) setDefault(spec, "externalTrafficPolicy", "Cluster");
  else delete spec["externalTrafficPolicy"];
  if (spec["type"] === "LoadBalancer") setDefault(spec, "allocateLoadBalancerNodePorts", true);
  else delete spec["allocateLoadBalancerNodePorts"];
  if (spec["type"] !== "ExternalName") setDefault(spec, "internalTrafficPolicy", "Cluster");
  for (const port of listAt(spec, "ports")) {
    setDefault(port, "protocol", "TCP");
    if (port["targetPort"] === "" || port["targetPort"] === 0) delete port["targetPort"];
    setDefault(port, "targetPort", port["port"]);
    if (port["nodePort"] === 0) delete port["nodePort"];
  }
}

export function startService(draft: KubeObject): void {
  draft["status"] = { loadBalancer: {} };
}

export function defaultNetworkPolicy(draft: KubeObject): void {
  const spec = ensureObject(draft, "spec");
  setDefault(spec, "podSelector", {});
  if (!Array.isArray(spec["policyTypes"]) || spec["policyTypes"].length === 0) {
    const egress = listAt(spec, "egress").length > 0;
    spec["policyTypes"] = egress ? ["Ingress", "Egress"] : ["Ingress"];
  }
  for (const rule of [...listAt(spec, "ingress"), ...listAt(spec, "egress")]) {
    for (const port of listAt(rule, "ports")) setDefault(port, "protocol", "TCP");
  }
}

export function defaultEndpointSlice(draft: KubeObject): void {
  for (const port of listAt(draft, "ports")) {
    setDefault(port, "name", "");
    setDefault(port, "protocol", "TCP");
  }
  if (draft["endpoints"] === undefined) draft["endpoints"] = [];
  for (const endpoint of listAt(draft, "endpoints")) setDefault(endpoint, "conditions", {});
}

export function defaultEndpoints(draft: KubeObject): void {
  for (const subset of listAt(draft, "subsets")) {
    for (const port of listAt(subset, "ports")) setDefault(port, "protocol", "TCP");
  }
}

/** `stringData` is a way to write `data` and is never read back. */
export function defaultSecret(draft: KubeObject): void {
  setDefault(draft, "type", "Opaque");
  const plain = draft["stringData"];
  delete draft["stringData"];
  if (!isObject(plain)) return;
  const data = ensureObject(draft, "data");
  for (const [key, value] of Object.entries(plain)) data[key] = Buffer.from(String(value)).toString("base64");
}

export function defaultNamespace(draft: KubeObject): void {
  draft.metadata.labels = { ...draft.metadata.labels, "kubernetes.io/metadata.name": draft.metadata.name };
}

export function startNamespace(draft: KubeObject): void {
  draft["spec"] = { finalizers: ["kubernetes"] };
  draft["status"] = { phase: "Active" };
}
