// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { endPort, isPortName } from "./fields.ts";
import { icmpType } from "./icmp.ts";
import { quote } from "./manifest.ts";
import { isRe2 } from "./regex.ts";

/** `toPorts` and `icmps` of cilium.io/v2 policies. */

const ciliumProtocols = [
  "TCP",
  "UDP",
  "SCTP",
  "VRRP",
  "IGMP",
  "GRE",
  "IPIP",
  "IPV6",
  "ESP",
  "AH",
  "ANY",
] as const;

function isCiliumPort(value: string | number): boolean {
  if (typeof value === "number" || /^\d+$/.test(value)) return Number(value) >= 0 && Number(value) <= 65535;
  return isPortName(value);
}

const port = z
  .union([z.string(), z.int()], { error: (issue) => `${quote(issue.input)} is not a port` })
  .refine(isCiliumPort, { error: (issue) => `${quote(issue.input)} is not a port` })
  .meta({ "x-kubernetes-int-or-string": true });

const portProtocol = z
  .strictObject({
    port: port.optional(),
    endPort: endPort.min(0).max(65535).optional(),
    protocol: z.enum(ciliumProtocols).optional(),
  })
  .superRefine((value, context) => {
    const { endPort: last = 0, protocol = "ANY" } = value;
    const problem = (field: string, message: string) =>
      context.addIssue({ code: "custom", path: [field], message });
    const hasPorts = ["TCP", "UDP", "SCTP", "ANY"].includes(protocol);
    if (value.port === undefined && hasPorts) problem("port", "is required");
    if (!hasPorts && Number(value.port ?? 0) !== 0) problem("port", `protocol ${protocol} has no ports`);
    if (last === 0 || value.port === undefined) return;
    if (Number.isNaN(Number(value.port)))
      problem("endPort", `can't follow the named port ${quote(value.port)}`);
    else if (Number(value.port) === 0) problem("endPort", "can't follow port 0, which is any port");
    else if (last < Number(value.port)) problem("endPort", `${last} is less than port ${Number(value.port)}`);
  });

const ports = z.array(portProtocol).min(1, { error: "needs at least one port" }).max(40);

/** Labels with a dot between any two, and one more at the end if need be: written so that no text takes long to be refused. */
const fqdnName = z
  .string()
  .max(255)
  .regex(/^[-a-zA-Z0-9_]+([.][-a-zA-Z0-9_]+)*[.]?$/, {
    error: (issue) => `${quote(issue.input)} is not a domain name`,
  });
const fqdnPattern = z
  .string()
  .max(255)
  .regex(/^[-a-zA-Z0-9_*]+([.][-a-zA-Z0-9_*]+)*[.]?$/, {
    error: (issue) => `${quote(issue.input)} is not a pattern of domain names`,
  });
export const fqdnSelector = z
  .strictObject({ matchName: fqdnName.optional(), matchPattern: fqdnPattern.optional() })
  .superRefine(({ matchName, matchPattern }, context) => {
    if ((matchName === undefined) === (matchPattern === undefined))
      context.addIssue({ code: "custom", message: "needs one of matchName and matchPattern" });
  });

const expression = z.string().refine(isRe2, {
  error: (issue) => `${quote(issue.input)} is not a regular expression (RE2)`,
});
/** RFC 9110 section 5.6.2. */
const headerName = z.string().regex(/^[-!#$%&'*+.^_`|~0-9A-Za-z]+$/, {
  error: (issue) => `${quote(issue.input)} is not a header's name`,
});

const secret = z.strictObject({ name: z.string(), namespace: z.string().optional() });
const tls = z.strictObject({
  secret,
  certificate: z.string().optional(),
  privateKey: z.string().optional(),
  trustedCA: z.string().optional(),
});

const headerMatch = z.strictObject({
  name: headerName,
  value: z.string().optional(),
  secret: secret.optional(),
  mismatch: z.enum(["LOG", "ADD", "DELETE", "REPLACE"]).optional(),
});

const httpRule = z.strictObject({
  path: expression.optional(),
  method: expression.optional(),
  host: expression.optional(),
  headers: z.array(z.string().min(1)).optional(),
  headerMatches: z.array(headerMatch).optional(),
});

const l7Rules = z
  .strictObject({ http: z.array(httpRule).optional(), dns: z.array(fqdnSelector).optional() })
  .superRefine(({ http, dns }, context) => {
    if (http && dns)
      context.addIssue({
        code: "custom",
        path: ["dns"],
        message: "can't stand beside http: write two rules",
      });
  });

const listener = z.strictObject({
  envoyConfig: z.strictObject({
    kind: z.enum(["CiliumEnvoyConfig", "CiliumClusterwideEnvoyConfig"]).optional(),
    name: z.string(),
  }),
  name: z.string(),
  priority: z.int().min(1).max(100).optional(),
});

const portRuleShape = z.strictObject({
  ports: ports.optional(),
  rules: l7Rules.optional(),
  serverNames: z.array(fqdnPattern).min(1).optional(),
  terminatingTLS: tls.optional(),
  originatingTLS: tls.optional(),
  listener: listener.optional(),
});
type PortRule = z.output<typeof portRuleShape>;

/** What does not go together in one entry of `toPorts`. */
export const portRule = portRuleShape.superRefine((rule, context) => {
  for (const [path, message] of contradictions(rule))
    context.addIssue({ code: "custom", path: [...path], message });
});

/** The same for who is judged as a destination: names are asked by clients, and redirected traffic is theirs. */
export const ingressPortRule = portRule.superRefine(({ rules, listener: to }, context) => {
  const problem = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
  if (rules?.dns) problem(["rules", "dns"], "is for egress only");
  if (to) problem(["listener"], "is for egress only");
});

type Contradiction = readonly [path: readonly (string | number)[], message: string];

function contradictions({ ports: list = [], rules, ...rule }: PortRule): Contradiction[] {
  const found: Contradiction[] = [];
  const reads = (rules?.http?.length ?? 0) + (rules?.dns?.length ?? 0) > 0;
  if (reads && rule.listener) found.push([["listener"], "can't stand beside rules"]);
  if (reads && rule.serverNames && !rule.terminatingTLS)
    found.push([["serverNames"], "can't stand beside rules without terminatingTLS"]);
  if (!reads) return found;
  if (rules?.dns && list.length === 0) found.push([["ports"], "is required beside rules.dns"]);
  for (const [index, { port: number = 0, endPort: last = 0, protocol = "ANY" }] of list.entries()) {
    if (Number(number) === 0) found.push([["ports", index, "port"], "can't be any port beside rules"]);
    if (rules?.dns && last > Number(number))
      found.push([["ports", index, "endPort"], "can't stand beside rules.dns"]);
    if (rules?.http && protocol !== "TCP")
      found.push([["ports", index, "protocol"], "must be TCP beside rules.http"]);
  }
  return found;
}

export const portDenyRule = z.strictObject({ ports: ports.optional() });

const icmpField = z
  .strictObject({
    family: z.enum(["IPv4", "IPv6"]).default("IPv4"),
    type: z
      .union([z.int(), z.string()], { error: (issue) => `${quote(issue.input)} is not an ICMP type` })
      .meta({ "x-kubernetes-int-or-string": true }),
  })
  .superRefine(({ family, type }, context) => {
    if (icmpType(family, type) !== undefined) return;
    context.addIssue({
      code: "custom",
      path: ["type"],
      message: `${quote(type)} is not an ICMP type of ${family}`,
    });
  });

export const icmpRule = z.strictObject({ fields: z.array(icmpField).max(40).optional() });

export type PortProtocol = z.output<typeof portProtocol>;
