// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { contains, parsePrefix } from "#model/ip.ts";
import { fqdnSelector, icmpRule, ingressPortRule, portDenyRule, portRule } from "./cilium-ports.ts";
import { cidr, cidrOrAddress, ciliumSelector, labelSelector, metadata } from "./fields.ts";
import { quote, readManifest } from "./manifest.ts";

/**
 * cilium.io/v2 CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy: every field the kinds have. What of them is enforced is
 * decided where they are compiled; here they are only well-formed or not.
 */

const entity = z.enum([
  "all",
  "world",
  "world-ipv4",
  "world-ipv6",
  "cluster",
  "cluster-mesh",
  "host",
  "init",
  "ingress",
  "unmanaged",
  "remote-node",
  "health",
  "none",
  "kube-apiserver",
]);

const cidrRule = z
  .strictObject({
    cidr: cidr.optional(),
    cidrGroupRef: z.string().max(253).optional(),
    cidrGroupSelector: labelSelector.optional(),
    except: z.array(cidr).optional(),
  })
  .superRefine((value, context) => {
    const given = [value.cidr, value.cidrGroupRef, value.cidrGroupSelector].filter(
      (field) => field !== undefined,
    );
    if (given.length !== 1)
      context.addIssue({ code: "custom", message: "needs one of cidr, cidrGroupRef and cidrGroupSelector" });
    const { cidr: whole, except = [] } = value;
    for (const [index, hole] of except.entries()) {
      if (whole === undefined || holds(whole, hole)) continue;
      context.addIssue({
        code: "custom",
        path: ["except", index],
        message: `${hole} is not within ${whole}`,
      });
    }
  });

/** Texts that are no prefixes have been told of already. */
function holds(whole: string, hole: string): boolean {
  try {
    return contains(parsePrefix(whole), parsePrefix(hole));
  } catch {
    return true;
  }
}

const group = z.strictObject({ aws: z.looseObject({}).optional() });
const selectors = z.array(ciliumSelector);
const requires = z.array(z.unknown()).max(0, { error: "is not supported by the API any more" });

const from = {
  fromEndpoints: selectors.optional(),
  fromRequires: requires.optional(),
  fromCIDR: z.array(cidrOrAddress).optional(),
  fromCIDRSet: z.array(cidrRule).optional(),
  fromEntities: z.array(entity).optional(),
  fromGroups: z.array(group).optional(),
  fromNodes: selectors.optional(),
};

const service = z
  .strictObject({
    k8sService: z
      .strictObject({ serviceName: z.string().optional(), namespace: z.string().optional() })
      .optional(),
    k8sServiceSelector: z
      .strictObject({ selector: ciliumSelector, namespace: z.string().optional() })
      .optional(),
  })
  .superRefine(({ k8sService, k8sServiceSelector }, context) => {
    if ((k8sService === undefined) === (k8sServiceSelector === undefined))
      context.addIssue({ code: "custom", message: "needs one of k8sService and k8sServiceSelector" });
    else if (k8sService && !k8sService.serviceName)
      context.addIssue({ code: "custom", path: ["k8sService", "serviceName"], message: "is required" });
  });

const to = {
  toEndpoints: selectors.optional(),
  toRequires: requires.optional(),
  toCIDR: z.array(cidrOrAddress).optional(),
  toCIDRSet: z.array(cidrRule).optional(),
  toEntities: z.array(entity).optional(),
  toServices: z.array(service).optional(),
  toGroups: z.array(group).optional(),
  toNodes: selectors.optional(),
};

const icmps = z.array(icmpRule).optional();
const authentication = z
  .strictObject({ mode: z.enum(["disabled", "required", "test-always-fail"]) })
  .optional();
const allow = { icmps, authentication };
const ingressPorts = z.array(ingressPortRule).optional();
const egressPorts = z.array(portRule).optional();
const deny = { toPorts: z.array(portDenyRule).optional(), icmps };

const ruleLabel = z.strictObject({
  key: z.string(),
  source: z.string().optional(),
  value: z.string().optional(),
});

/** No pattern in the schema: whoever serves it may not know classes of characters. */
const printable = z
  .string()
  .max(32)
  .refine((text) => /^\P{C}*$/u.test(text), {
    error: (issue) => `${quote(issue.input)} has characters that are not printed`,
  });

export const ciliumRule = z
  .strictObject({
    description: z.string().optional(),
    labels: z.array(ruleLabel).optional(),
    log: z.strictObject({ value: printable.optional() }).optional(),
    enableDefaultDeny: z
      .strictObject({ ingress: z.boolean().optional(), egress: z.boolean().optional() })
      .optional(),
    endpointSelector: ciliumSelector.optional(),
    nodeSelector: ciliumSelector.optional(),
    ingress: z.array(exclusive({ ...from, ...allow, toPorts: ingressPorts }, Object.keys(from))).optional(),
    ingressDeny: z.array(exclusive({ ...from, ...deny }, Object.keys(from))).optional(),
    egress: z
      .array(
        exclusive({ ...to, toFQDNs: z.array(fqdnSelector).optional(), ...allow, toPorts: egressPorts }, [
          ...Object.keys(to),
          "toFQDNs",
        ]),
      )
      .optional(),
    egressDeny: z.array(exclusive({ ...to, ...deny }, Object.keys(to))).optional(),
  })
  .superRefine((rule, context) => {
    const given = [rule.endpointSelector, rule.nodeSelector].filter((selector) => selector !== undefined);
    if (given.length === 1) return;
    const message =
      given.length === 0
        ? "needs endpointSelector or nodeSelector"
        : "has both endpointSelector and nodeSelector";
    context.addIssue({ code: "custom", message });
  });

/** A rule names its peers in one way, and ports or ICMP types, not both. */
function exclusive<S extends z.core.$ZodLooseShape>(shape: S, peers: readonly string[]) {
  return z.strictObject(shape).superRefine((rule, context) => {
    const used = peers.filter(
      (field) => ((rule as Record<string, unknown[] | undefined>)[field]?.length ?? 0) > 0,
    );
    if (used.length > 1) {
      context.addIssue({
        code: "custom",
        path: [used[1]!],
        message: `can't stand beside ${used[0]}: write two rules`,
      });
    }
    if ("toPorts" in rule && "icmps" in rule) {
      context.addIssue({
        code: "custom",
        path: ["icmps"],
        message: "can't stand beside toPorts: write two rules",
      });
    }
  });
}

function policyOf<K extends string>(kind: K) {
  return z
    .strictObject({
      apiVersion: z.literal("cilium.io/v2"),
      kind: z.literal(kind),
      metadata,
      spec: ciliumRule.optional(),
      specs: z.array(ciliumRule).optional(),
      status: z.looseObject({}).optional(),
    })
    .superRefine((policy, context) => {
      if (!policy.spec && !policy.specs) context.addIssue({ code: "custom", message: "needs spec or specs" });
    });
}

const ciliumNetworkPolicy = policyOf("CiliumNetworkPolicy");
const ciliumClusterwideNetworkPolicy = policyOf("CiliumClusterwideNetworkPolicy");

export type CiliumNetworkPolicy = z.output<typeof ciliumNetworkPolicy>;
export type CiliumClusterwideNetworkPolicy = z.output<typeof ciliumClusterwideNetworkPolicy>;
export type CiliumRule = z.output<typeof ciliumRule>;

/** Reads an object of either kind. @throws WeftError E_MANIFEST with the path of the field that is wrong */
export function readCiliumPolicy(object: unknown): CiliumNetworkPolicy | CiliumClusterwideNetworkPolicy {
  const kind = (object as { kind?: unknown } | null | undefined)?.kind;
  if (kind === "CiliumClusterwideNetworkPolicy") return readManifest(ciliumClusterwideNetworkPolicy, object);
  return readManifest(ciliumNetworkPolicy, object);
}

/** @throws WeftError E_MANIFEST with the path of the field that is wrong */
export function validateCiliumPolicy(
  object: unknown,
): asserts object is CiliumNetworkPolicy | CiliumClusterwideNetworkPolicy {
  readCiliumPolicy(object);
}
