// SPDX-License-Identifier: Apache-2.0
import {
  configMapTable,
  definitionTable,
  disruptionBudgetTable,
  eventTable,
  leaseTable,
  namespaceTable,
  nodeTable,
  priorityClassTable,
  roleBindingTable,
  roleTable,
  secretTable,
  serviceAccountTable,
  volumeClaimTable,
} from "./cluster.ts";
import {
  endpointSliceTable,
  endpointsTable,
  ingressClassTable,
  ingressTable,
  networkPolicyTable,
  serviceTable,
} from "./network.ts";
import { podTable } from "./pods.ts";
import type { TableLayout } from "./table.ts";
import {
  cronJobTable,
  daemonSetTable,
  deploymentTable,
  jobTable,
  replicaSetTable,
  replicationControllerTable,
  statefulSetTable,
} from "./workloads.ts";

/** The columns of the built-in kinds by `group/plural`; one that is not here shows name and age. */
export const tableLayouts: Readonly<Record<string, TableLayout>> = {
  "/pods": podTable,
  "/services": serviceTable,
  "/endpoints": endpointsTable,
  "/nodes": nodeTable,
  "/namespaces": namespaceTable,
  "/events": eventTable,
  "/configmaps": configMapTable,
  "/secrets": secretTable,
  "/serviceaccounts": serviceAccountTable,
  "/replicationcontrollers": replicationControllerTable,
  "/persistentvolumeclaims": volumeClaimTable,
  "apps/deployments": deploymentTable,
  "apps/replicasets": replicaSetTable,
  "apps/daemonsets": daemonSetTable,
  "apps/statefulsets": statefulSetTable,
  "batch/jobs": jobTable,
  "batch/cronjobs": cronJobTable,
  "networking.k8s.io/networkpolicies": networkPolicyTable,
  "networking.k8s.io/ingresses": ingressTable,
  "networking.k8s.io/ingressclasses": ingressClassTable,
  "discovery.k8s.io/endpointslices": endpointSliceTable,
  "coordination.k8s.io/leases": leaseTable,
  "policy/poddisruptionbudgets": disruptionBudgetTable,
  "apiextensions.k8s.io/customresourcedefinitions": definitionTable,
  "rbac.authorization.k8s.io/roles": roleTable,
  "rbac.authorization.k8s.io/clusterroles": roleTable,
  "rbac.authorization.k8s.io/rolebindings": roleBindingTable,
  "rbac.authorization.k8s.io/clusterrolebindings": roleBindingTable,
  "scheduling.k8s.io/priorityclasses": priorityClassTable,
};
