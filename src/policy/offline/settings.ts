// SPDX-License-Identifier: Apache-2.0
import { type LabelFilter, type LabelPatterns, labelFilter, usualLabels } from "#identities/label-filter.ts";
import { isAddress, type Prefix, parseAddress } from "#model/ip.ts";
import type { NeverLockOut } from "../never-lock-out.ts";
import type { Enforcement } from "../resolve.ts";

/** What the agents of a cluster are told that its objects do not tell: the part of their settings that verdicts depend on. */
export interface ClusterSettings {
  /** Of objects that name none. */
  readonly namespace: string;
  readonly clusterName: string;
  readonly keepsLabel: LabelFilter;
  /** `policy.enforcement` */
  readonly enforcement: Enforcement;
  /** `policy.audit`: denials are told and not enforced, whoever is denied. */
  readonly audit: boolean;
  /** `hostFirewall`; absent: it is off, and policies about nodes are refused. */
  readonly hostFirewall?: NeverLockOut;
}

/** The agents' own defaults. */
export const usualSettings: ClusterSettings = {
  namespace: "default",
  clusterName: "default",
  keepsLabel: usualLabels,
  enforcement: "default",
  audit: false,
};

/** Of an agent's settings what {@link ClusterSettings} are made of. */
export interface AgentSettings {
  readonly clusterName: string;
  readonly identityLabels: LabelPatterns;
  readonly policy: { readonly enforcement: Enforcement; readonly audit: boolean };
  readonly hostFirewall: {
    readonly enabled: boolean;
    readonly neverLockOut: {
      readonly apiServer: boolean;
      readonly ports: readonly number[];
      readonly cidrs: readonly Prefix[];
    };
  };
  readonly apiServer?: { readonly host: string; readonly port: number } | undefined;
}

/** @param apiServerPort where it is known; else the settings' own, else the one of in-cluster credentials */
export function settingsOfAgents(config: AgentSettings, apiServerPort?: number): Partial<ClusterSettings> {
  const { policy, hostFirewall, clusterName, identityLabels, apiServer } = config;
  const port = apiServerPort ?? apiServer?.port ?? 443;
  return {
    clusterName,
    keepsLabel: labelFilter(identityLabels),
    enforcement: policy.enforcement,
    audit: policy.audit,
    ...(hostFirewall.enabled && {
      hostFirewall: neverLockOut(hostFirewall.neverLockOut, { host: apiServer?.host ?? "", port }),
    }),
  };
}

function neverLockOut(
  { apiServer, ports, cidrs }: AgentSettings["hostFirewall"]["neverLockOut"],
  { host, port }: { readonly host: string; readonly port: number },
): NeverLockOut {
  return {
    ports,
    cidrs,
    ...(apiServer && { apiServerPorts: [...new Set([port, 6443])] }),
    ...(apiServer && isAddress(host) && { apiServerAddress: parseAddress(host) }),
  };
}

/** Of agents of whom no more is said than that the firewall is on. */
export const usualFirewall: NeverLockOut = neverLockOut(
  { apiServer: true, ports: [], cidrs: [] },
  { host: "", port: 443 },
);
