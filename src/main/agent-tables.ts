// SPDX-License-Identifier: Apache-2.0
import { ownAddressTable } from "#egress/own-addresses.ts";
import { egressPolicyTable, egressTable, masqueradeExemptTable } from "#egress/table.ts";
import { hostEndpointTable } from "#endpoints/host.ts";
import { slicedEndpointTable } from "#endpoints/slices.ts";
import {
  clusterEndpointTable,
  datapathEndpointTable,
  endpointTable,
  namespaceTable,
  podTable,
} from "#endpoints/table.ts";
import { blockTable, identityTable, ipcacheClaimTable, ipcacheTable } from "#identities/table.ts";
import { ciliumNodeTable } from "#nodes/cilium-node.ts";
import { apiServerTable, nodeLabelKeyTable, nodeTable, routeTable } from "#nodes/table.ts";
import {
  cidrGroupTable,
  endpointPolicyTable,
  policyCostTable,
  policyMapTable,
  policyRefusalTable,
  policyRuleTable,
  policyTable,
} from "#policy/table.ts";
import { l2AnnouncementTable, l2PolicyTable } from "#services/l2-table.ts";
import { redirectPolicyTable } from "#services/redirect-policy.ts";
import { redirectTable } from "#services/redirects.ts";
import {
  endpointSliceTable,
  frontendIdTable,
  frontendTable,
  healthCheckTable,
  hostPortTable,
  serviceTable,
} from "#services/table.ts";
import { Database } from "#store/table.ts";

/** Every table of the agent, in the order the data flows. */
export function agentTables(db = new Database()) {
  const datapathEndpoints = datapathEndpointTable(db);
  return {
    db,
    kubeNodes: nodeTable(db, "kube-nodes"),
    ciliumNodes: ciliumNodeTable(db),
    nodes: nodeTable(db),
    apiServers: apiServerTable(db),
    nodeLabelKeys: nodeLabelKeyTable(db),
    namespaces: namespaceTable(db),
    pods: podTable(db),
    slicedEndpoints: slicedEndpointTable(db),
    clusterEndpoints: clusterEndpointTable(db),
    endpoints: endpointTable(db, (id) => datapathEndpoints.get(id)),
    hosts: hostEndpointTable(db),
    identities: identityTable(db),
    claims: ipcacheClaimTable(db),
    ipcache: ipcacheTable(db),
    blocks: blockTable(db),
    writtenPolicies: policyTable(db, "written-policies"),
    cidrGroups: cidrGroupTable(db),
    policies: policyTable(db),
    policyMaps: policyMapTable(db),
    endpointPolicies: endpointPolicyTable(db),
    policyRules: policyRuleTable(db),
    policyRefusals: policyRefusalTable(db),
    policyCosts: policyCostTable(db),
    datapathEndpoints,
    services: serviceTable(db),
    endpointSlices: endpointSliceTable(db),
    hostPorts: hostPortTable(db),
    redirectPolicies: redirectPolicyTable(db),
    redirects: redirectTable(db),
    healthChecks: healthCheckTable(db),
    frontends: frontendTable(db),
    frontendIds: frontendIdTable(db),
    l2Policies: l2PolicyTable(db),
    l2Announcements: l2AnnouncementTable(db),
    routes: routeTable(db),
    egressPolicies: egressPolicyTable(db),
    ownAddresses: ownAddressTable(db),
    egress: egressTable(db),
    masqueradeExempt: masqueradeExemptTable(db),
  };
}

export type AgentTables = ReturnType<typeof agentTables>;
