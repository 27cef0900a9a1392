// SPDX-License-Identifier: Apache-2.0
import { type Resource, resources } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";

const rbac = (plural: string): Resource => ({ group: "rbac.authorization.k8s.io", version: "v1", plural });
const apps = (plural: string): Resource => ({ group: "apps", version: "v1", plural });
const core = (plural: string): Resource => ({ group: "", version: "v1", plural });

/** The kinds an installation is made of, in the order they are applied: what others need comes first. */
export const installKinds = {
  Namespace: resources.namespaces,
  CustomResourceDefinition: resources.customResourceDefinitions,
  ServiceAccount: core("serviceaccounts"),
  ClusterRole: rbac("clusterroles"),
  ClusterRoleBinding: rbac("clusterrolebindings"),
  Role: rbac("roles"),
  RoleBinding: rbac("rolebindings"),
  ConfigMap: core("configmaps"),
  Service: resources.services,
  DaemonSet: apps("daemonsets"),
  Deployment: apps("deployments"),
  PodDisruptionBudget: { group: "policy", version: "v1", plural: "poddisruptionbudgets" },
} as const satisfies Record<string, Resource>;

export type InstallKind = keyof typeof installKinds;

const order = Object.keys(installKinds);

/** @throws WeftError E_TEMPLATE for a kind no installation has */
export function resourceOfKind(kind: string): Resource {
  if (!Object.hasOwn(installKinds, kind))
    throw new WeftError("E_TEMPLATE", `an installation has no objects of kind ${kind}`);
  return installKinds[kind as InstallKind];
}

/** The order of applying; stable. */
export function inOrder<T extends { readonly kind: string }>(objects: readonly T[]): T[] {
  return objects.toSorted((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}
