// SPDX-License-Identifier: Apache-2.0
import type { Prefix } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";

/**
 * The one internal rule form. Every policy language compiles to it; `resolve.ts` turns rules and identities into map entries,
 * `verdict.ts` says what they mean.
 */
export interface Rule {
  readonly origin: RuleOrigin;
  /** Which endpoints the rule is about. */
  readonly subject: Selector;
  readonly direction: "ingress" | "egress";
  readonly tier: Tier;
  /** Within the tier: lower comes first, 0 to 65535. NetworkPolicy and CiliumNetworkPolicy have 0. */
  readonly priority: number;
  /** `pass`: what else the tier says is skipped, the next tier decides. Not in the normal tier. */
  readonly action: "allow" | "deny" | "pass";
  /** Empty list: no peer matches. `undefined`: any peer. */
  readonly peers: readonly Peer[] | undefined;
  /** `undefined`: any port and protocol. */
  readonly ports: readonly PortRange[] | undefined;
  /** Endpoints the subject selects drop what no rule of this direction allows. */
  readonly defaultDeny: boolean;
  /** What the rule, or its policy's isolation, denies is told and not enforced: see `audit.ts`. */
  readonly audit?: true;
  /** Peers that other objects name, beside `peers`. `references.ts` puts peers in their place; what resolves rules takes none with references. */
  readonly references?: readonly Reference[];
  /** What beside the datapath must stand in the way. A rule that has any is not enforced: it would allow more than it says. */
  readonly needs?: readonly Need[];
}

/** `proxy`: reads requests; `dns`: reads DNS answers; `tls`: reads or ends TLS; `auth`: both ends prove who they are. */
export type NeedKind = "proxy" | "dns" | "tls" | "auth";

export interface Need {
  readonly kind: NeedKind;
  /** Where it stands in the object. */
  readonly field: string;
  /** What stands there, as the object has it. */
  readonly value: unknown;
}

/** `admin` before `normal` before `baseline`. */
export type Tier = "admin" | "normal" | "baseline";

export interface RuleOrigin {
  readonly kind: string;
  /** "" for a cluster-wide object. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Index of the rule in the object's ingress or egress list; -1: the object as a whole (isolation without rules). */
  readonly index: number;
  /** Where it stands in the object: `spec.ingress[0]`, `specs[1].egressDeny[2]`. */
  readonly field?: string;
  /** Name the rule itself has in the object. */
  readonly rule?: string;
  /** What the policy wants to stand in the flows its rules decide (`log.value`). */
  readonly log?: string;
  /** The policy's own labels, with source. */
  readonly labels?: readonly string[];
  /** Line of the source file when applied from one. */
  readonly source?: string;
  /** Line its object begins at. */
  readonly objectSource?: string;
}

/** Label requirements over source-prefixed labels; all must hold. No requirement: everything matches. */
export interface Selector {
  readonly requirements: readonly Requirement[];
}

export interface Requirement {
  readonly key: string;
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  readonly values: readonly string[];
}

export type Peer =
  | { readonly kind: "selector"; readonly selector: Selector }
  /** The part of the world with these addresses: neither pods nor nodes (CiliumNetworkPolicy). */
  | { readonly kind: "cidr"; readonly prefix: Prefix; readonly except: readonly Prefix[] }
  /** Whoever has such an address, pods and nodes too (NetworkPolicy's ipBlock, ClusterNetworkPolicy's networks). */
  | { readonly kind: "block"; readonly prefix: Prefix; readonly except: readonly Prefix[] }
  | { readonly kind: "entity"; readonly entity: string };

/** A peer by way of another object, which may come, change and go while the policy stays as it is. */
export type Reference =
  /** The prefixes of CiliumCIDRGroups, without the excepts. */
  | {
      readonly kind: "cidr-group";
      readonly of: Named;
      readonly except: readonly Prefix[];
      readonly field: string;
    }
  /** Who answers for Services: the pods they select, or the addresses that stand in the EndpointSlices of those without selector. */
  | {
      readonly kind: "service";
      readonly of: Named;
      readonly namespace: string | undefined;
      readonly field: string;
    }
  /** Addresses of the nodes with these labels (keys with source), whoever uses them. */
  | { readonly kind: "node"; readonly of: { readonly selector: Selector }; readonly field: string };

/** One object by its name, or those whose labels (keys without source) match. */
export type Named = { readonly name: string } | { readonly selector: Selector };

export interface PortRange {
  /** IANA protocol number; 0: any. */
  readonly proto: number;
  /** First and last port (ICMP: type). 0..65535 whole range. */
  readonly first: number;
  readonly last: number;
  /** A named port: resolved per destination; first and last are 0 then. */
  readonly name?: string;
}

/** What an endpoint's traffic is judged by, after resolving: the content of one policy map. */
export interface ResolvedPolicy {
  /** Hash of the rule set, nonzero; key of the outer map. */
  readonly id: number;
  /** Hash of the entries, nonzero. */
  readonly revision: number;
  readonly enforceIngress: boolean;
  readonly enforceEgress: boolean;
  /** There are entries of the audit. */
  readonly audits?: true;
  readonly entries: readonly PolicyEntry[];
}

export interface PolicyEntry {
  readonly direction: "ingress" | "egress";
  /** 0: any. A block's (`isBlockIdentity`): what is said of addresses, whoever has them. */
  readonly identity: number;
  /** 0: any (then port must be whole range). */
  readonly proto: number;
  /** Leading bits of `port` that count: 0 (any port) .. 16. */
  readonly portBits: number;
  readonly port: number;
  /** `pass`: the second round decides. */
  readonly verdict: "allow" | "deny" | "pass";
  /** 2: found only when an entry of the first round passes. */
  readonly round?: 2 | undefined;
  /** Of the audit: asked where the others allow, says what would be if every policy were enforced. */
  readonly audit?: true | undefined;
  readonly precedence: number;
  /** Rule id: see `rule-ids.ts`. */
  readonly rule: number;
}

/** What an endpoint or a peer is to the engine. */
export interface Subject {
  readonly identity: number;
  readonly labels: Labels;
}

/** A container port with a name, which policies may use in place of the number. */
export interface NamedPort {
  readonly name: string;
  readonly port: number;
  /** IANA number: 6 TCP, 17 UDP, 132 SCTP. */
  readonly proto: number;
}
