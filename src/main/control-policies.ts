// SPDX-License-Identifier: Apache-2.0
import type { BlockIdentities } from "#identities/blocks.ts";
import type { CidrIdentities } from "#identities/cidr.ts";
import type { Known } from "#identities/known.ts";
import { isAddress, parseAddress } from "#model/ip.ts";
import { startPolicyController } from "#policy/controller.ts";
import { joinReferences } from "#policy/join-references.ts";
import type { PolicyLimits } from "#policy/limits.ts";
import { type NeverLockOut, neverLockOutRules } from "#policy/never-lock-out.ts";
import { followNodeLabels } from "#policy/node-labels.ts";
import { policyCapacity, startPolicyReconciler } from "#policy/ops.ts";
import type { ControlContext, ControlDeps } from "./control-context.ts";

/** Whom policies and packets are told of. */
export interface PolicyIdentities {
  readonly known: Known;
  readonly cidrs: CidrIdentities;
  readonly blocks: BlockIdentities;
}

/** Written policies and what they refer to → each endpoint's policy, and what is in its map → kernel. */
export function startPolicies(
  deps: ControlContext,
  { known, cidrs, blocks }: PolicyIdentities,
  signal: AbortSignal,
) {
  const { config, tables, common, db, families } = deps;
  const stack = new AsyncDisposableStack();
  const { policies, endpoints, identities, policyMaps, endpointPolicies, policyRules } = tables;
  stack.use(startReferences(deps));
  stack.use(followNodeLabels({ db, policies, labelKeys: tables.nodeLabelKeys }));
  stack.use(
    startPolicyController(
      {
        ...common,
        policies,
        endpoints,
        identities,
        pods: tables.clusterEndpoints,
        policyMaps,
        endpointPolicies,
        policyRules,
        refusals: tables.policyRefusals,
        costs: tables.policyCosts,
        limits: limitsOf(deps),
        requirePrefixes: (prefixes) => {
          cidrs.require(prefixes.cidrs);
          blocks.require(prefixes.blocks);
        },
        clusterName: config.clusterName,
        resolved: () => known.resolved(policyReconciler.waitUntil(policyMaps.revision, signal)),
        hosts: tables.hosts,
        ...(config.hostFirewall.enabled && { neverLockOut: neverLockOutRules(neverLockOutOf(deps)) }),
        enforcement: config.policy.enforcement,
        ...(families.length === 1 && { onlyFamily: families[0]! }),
      },
      signal,
    ),
  );
  // What is given out only when the policies know it must be there before what the tables lack is taken out of the kernel.
  void policyMaps.ready
    .then(() => known.all())
    .then(() => {
      cidrs.synced();
      blocks.synced();
    });
  const policyReconciler = stack.use(
    startPolicyReconciler(
      { ...common, policyMaps, outer: deps.nodeDatapath.datapath.map("policies") },
      signal,
    ),
  );
  return {
    reconciler: policyReconciler,
    stages: [{ table: policyMaps, reconciler: policyReconciler }],
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Policies with peers in place of names. */
function startReferences({ db, tables }: ControlContext): Disposable {
  return joinReferences({
    db,
    written: tables.writtenPolicies,
    cidrGroups: tables.cidrGroups,
    services: tables.services,
    nodes: tables.kubeNodes,
    endpointSlices: tables.endpointSlices,
    pods: tables.clusterEndpoints,
    policies: tables.policies,
  });
}

function limitsOf({ maps }: ControlContext): PolicyLimits {
  return {
    entries: policyCapacity,
    // The rest of the ipcache is for pods, nodes and whatever has an address.
    cidrs: Math.floor(maps.ipcache.map.info.maxEntries / 4),
    // One is for what no IPv4 block covers.
    blocks: maps.blocks.map.info.maxEntries - 1,
  };
}

function neverLockOutOf({ config, apiServer }: ControlDeps): NeverLockOut {
  const { apiServer: open, ports, cidrs } = config.hostFirewall.neverLockOut;
  const { hostname, port } = apiServer;
  const host = hostname.replace(/^\[|\]$/g, "");
  return {
    ports,
    cidrs,
    ...(open && { apiServerPorts: [...new Set([port === "" ? 443 : Number(port), 6443])] }),
    ...(open && isAddress(host) && { apiServerAddress: parseAddress(host) }),
  };
}
