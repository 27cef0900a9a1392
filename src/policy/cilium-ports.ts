// SPDX-License-Identifier: Apache-2.0

import type { CiliumRule } from "#api/crd/cilium-network-policy.ts";
import type { PortProtocol } from "#api/crd/cilium-ports.ts";
import { icmpType } from "#api/crd/icmp.ts";
import type { Need, NeedKind, PortRange } from "./rule.ts";

/** Says that a field can't be enforced, which refuses the whole policy. Path relative to the rule it was made for. */
export type Refuse = (path: string, why?: string) => never;

/** One entry of `ingress`, `ingressDeny`, `egress` or `egressDeny`. */
export type AllowOrDeny = NonNullable<
  CiliumRule["ingress"] | CiliumRule["ingressDeny"] | CiliumRule["egress"] | CiliumRule["egressDeny"]
>[number];

/** IANA protocol numbers; ANY with a port means each protocol that has ports. */
const numbers = {
  TCP: 6,
  UDP: 17,
  SCTP: 132,
  VRRP: 112,
  IGMP: 2,
  GRE: 47,
  IPIP: 4,
  IPV6: 41,
  ESP: 50,
  AH: 51,
} as const;
const withPorts = [6, 17, 132] as const;

/** The ports of one rule; undefined when it names none, which means any. */
export function portsOf(entry: AllowOrDeny): PortRange[] | undefined {
  if (!entry.toPorts?.length && !entry.icmps?.length) return undefined;
  const out: PortRange[] = [];
  for (const { ports } of entry.toPorts ?? [])
    out.push(...(ports ? ports.flatMap(rangesOf) : [{ proto: 0, first: 0, last: 65535 }]));
  for (const { fields } of entry.icmps ?? []) {
    for (const { family, type } of fields ?? []) {
      const number = icmpType(family, type)!;
      out.push({ proto: family === "IPv4" ? 1 : 58, first: number, last: number });
    }
  }
  return out;
}

const needKinds: Readonly<Record<string, NeedKind>> = {
  terminatingTLS: "tls",
  originatingTLS: "tls",
  serverNames: "tls",
  listener: "proxy",
};

/** What one rule asks for beyond peers and ports. @param at where it stands in the object */
export function needsOf(entry: AllowOrDeny, at: string): Need[] {
  const needs: Need[] = [];
  const { authentication, toFQDNs } = entry as Partial<Allow>;
  if (authentication && authentication.mode !== "disabled")
    needs.push({ kind: "auth", field: `${at}.authentication.mode`, value: authentication.mode });
  if (toFQDNs && toFQDNs.length > 0) needs.push({ kind: "dns", field: `${at}.toFQDNs`, value: toFQDNs });
  for (const [index, rule] of (entry.toPorts ?? []).entries()) {
    const field = `${at}.toPorts[${index}]`;
    for (const [name, value] of Object.entries(rule))
      if (needKinds[name]) needs.push({ kind: needKinds[name], field: `${field}.${name}`, value });
    const rules = "rules" in rule ? Object.entries(rule.rules ?? {}) : [];
    for (const [language, value] of rules)
      needs.push({ kind: language === "dns" ? "dns" : "proxy", field: `${field}.rules.${language}`, value });
  }
  return needs;
}

type Allow = NonNullable<CiliumRule["egress"]>[number];

function rangesOf({ port = 0, endPort, protocol = "ANY" }: PortProtocol): PortRange[] {
  const number = Number(port);
  if (protocol === "ANY" && number === 0) return [{ proto: 0, first: 0, last: 65535 }];
  const protos = protocol === "ANY" ? withPorts : [numbers[protocol]];
  return protos.map((proto): PortRange => {
    if (Number.isNaN(number)) return { proto, first: 0, last: 0, name: String(port) };
    if (number === 0) return { proto, first: 0, last: 65535 };
    return { proto, first: number, last: endPort || number };
  });
}
