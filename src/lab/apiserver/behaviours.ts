// SPDX-License-Identifier: Apache-2.0
import { readCidrGroup } from "#api/crd/cilium-cidr-group.ts";
import { readEgressGatewayPolicy } from "#api/crd/cilium-egress-gateway-policy.ts";
import { readLocalRedirectPolicy } from "#api/crd/cilium-local-redirect-policy.ts";
import { validateCiliumPolicy } from "#api/crd/cilium-network-policy.ts";
import { validateClusterNetworkPolicy } from "#api/crd/cluster-network-policy.ts";
import { validateNetworkPolicy } from "#api/crd/network-policy.ts";
import { definitionBehaviour } from "./crd/definition.ts";
import {
  defaultEndpointSlice,
  defaultEndpoints,
  defaultNamespace,
  defaultNetworkPolicy,
  defaultSecret,
  defaultService,
  startNamespace,
  startService,
} from "./defaults/network.ts";
import { defaultPod, startPod } from "./defaults/pod.ts";
import {
  defaultCronJob,
  defaultDaemonSet,
  defaultDeployment,
  defaultJob,
  defaultReplicaSet,
  defaultReplicationController,
  defaultStatefulSet,
  startJob,
} from "./defaults/workloads.ts";
import { coreEvent, newEvent } from "./event-forms.ts";
import { type KubeObject, stringAt } from "./object.ts";
import type { Behaviour } from "./resource.ts";
import type { SelectableFields } from "./selectors.ts";
import { eventTable } from "./tables/cluster.ts";
import { manifestErrors } from "./validate/manifest.ts";
import { validatePod } from "./validate/pod.ts";
import { validateService } from "./validate/service.ts";
import {
  validateData,
  validateEndpointSlice,
  validateEvent,
  validateIngress,
  validateLease,
  validateNode,
  validateRoleBinding,
} from "./validate/small-kinds.ts";
import {
  validateCronJob,
  validateJob,
  validateReplicationController,
  validateWorkload,
} from "./validate/workloads.ts";

const at =
  (...path: string[]) =>
  (object: KubeObject): string =>
    stringAt(object, ...path);

const involved = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"];

/** By the names of one of its groups, of an Event as it is stored. */
function eventFields(reference: string, reporting: string): SelectableFields {
  const fields = involved.map((name): [string, (object: KubeObject) => string] => [
    `${reference}.${name}`,
    at("involvedObject", name),
  ]);
  return {
    ...Object.fromEntries(fields),
    reason: at("reason"),
    type: at("type"),
    [reporting]: at("reportingComponent"),
  };
}

/** What the built-in kinds do beyond being stored: defaults, validation, selectable fields, columns. By `group/plural`. */
export const behaviours: Readonly<Record<string, Behaviour>> = {
  "/namespaces": {
    defaults: defaultNamespace,
    start: startNamespace,
    nameRule: "label",
    fields: { "status.phase": at("status", "phase") },
  },
  "/pods": {
    defaults: defaultPod,
    start: startPod,
    validate: validatePod,
    fields: {
      "spec.nodeName": at("spec", "nodeName"),
      "spec.restartPolicy": at("spec", "restartPolicy"),
      "spec.schedulerName": at("spec", "schedulerName"),
      "spec.serviceAccountName": at("spec", "serviceAccountName"),
      "status.phase": at("status", "phase"),
      "status.podIP": at("status", "podIP"),
      "status.nominatedNodeName": at("status", "nominatedNodeName"),
    },
  },
  "/services": {
    defaults: defaultService,
    start: startService,
    validate: validateService,
    nameRule: "service",
    fields: { "spec.clusterIP": at("spec", "clusterIP"), "spec.type": at("spec", "type") },
  },
  "/endpoints": { defaults: defaultEndpoints },
  "/events": { fields: eventFields("involvedObject", "reportingComponent"), validate: validateEvent },
  "/configmaps": { validate: validateData },
  "events.k8s.io/events": {
    fields: eventFields("regarding", "reportingController"),
    table: eventTable,
    shownAs: { storage: "/events", toStored: coreEvent, fromStored: newEvent },
  },
  "/secrets": { defaults: defaultSecret, validate: validateData, fields: { type: at("type") } },
  "/nodes": {
    validate: validateNode,
    fields: {
      "spec.unschedulable": (node) =>
        String((node["spec"] as { unschedulable?: boolean })?.unschedulable ?? false),
    },
  },
  "/replicationcontrollers": {
    defaults: defaultReplicationController,
    validate: validateReplicationController,
  },
  "apps/deployments": { defaults: defaultDeployment, validate: validateWorkload },
  "apps/replicasets": { defaults: defaultReplicaSet, validate: validateWorkload },
  "apps/daemonsets": { defaults: defaultDaemonSet, validate: validateWorkload },
  "apps/statefulsets": { defaults: defaultStatefulSet, validate: validateWorkload },
  "batch/jobs": { defaults: defaultJob, start: startJob, validate: validateJob },
  "batch/cronjobs": { defaults: defaultCronJob, validate: validateCronJob },
  "networking.k8s.io/ingresses": { validate: validateIngress },
  "networking.k8s.io/networkpolicies": {
    defaults: defaultNetworkPolicy,
    validate: (object) => manifestErrors(validateNetworkPolicy, object),
  },
  "apiextensions.k8s.io/customresourcedefinitions": definitionBehaviour,
  "discovery.k8s.io/endpointslices": { defaults: defaultEndpointSlice, validate: validateEndpointSlice },
  "coordination.k8s.io/leases": { validate: validateLease },
  "rbac.authorization.k8s.io/roles": { nameRule: "path" },
  "rbac.authorization.k8s.io/clusterroles": { nameRule: "path" },
  "rbac.authorization.k8s.io/rolebindings": { nameRule: "path", validate: validateRoleBinding },
  "rbac.authorization.k8s.io/clusterrolebindings": { nameRule: "path", validate: validateRoleBinding },
};

const ciliumPolicy: Behaviour["validate"] = (object) => manifestErrors(validateCiliumPolicy, object);

/** Validations of custom kinds beyond their schema, by `group/plural`. */
export const customChecks: Readonly<Record<string, Behaviour["validate"]>> = {
  "cilium.io/ciliumnetworkpolicies": ciliumPolicy,
  "cilium.io/ciliumclusterwidenetworkpolicies": ciliumPolicy,
  "cilium.io/ciliumcidrgroups": (object) => manifestErrors(readCidrGroup, object),
  "cilium.io/ciliumlocalredirectpolicies": (object) => manifestErrors(readLocalRedirectPolicy, object),
  "cilium.io/ciliumegressgatewaypolicies": (object) => manifestErrors(readEgressGatewayPolicy, object),
  "policy.networking.k8s.io/clusternetworkpolicies": (object) =>
    manifestErrors(validateClusterNetworkPolicy, object),
};
