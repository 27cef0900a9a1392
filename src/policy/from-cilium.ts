// SPDX-License-Identifier: Apache-2.0
import { type CiliumRule, readCiliumPolicy } from "#api/crd/cilium-network-policy.ts";
import { objectName } from "#api/crd/manifest.ts";
import { type CiliumScope, peersOf } from "./cilium-peers.ts";
import { type AllowOrDeny, needsOf, portsOf, type Refuse } from "./cilium-ports.ts";
import { checkSelectable, NeedsError, unsupported } from "./refuse.ts";
import type { Requirement, Rule, RuleOrigin, Selector } from "./rule.ts";
import { aboutHost, namespaceLabel, requirementsOf, sourced } from "./selector.ts";

/**
 * The rules of a cilium.io/v2 CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy, layers 3 and 4.
 * @throws WeftError E_MANIFEST for a malformed object, E_POLICY_UNSUPPORTED for one with a field that is not enforced: never a part of a policy;
 * NeedsError, of the same code, where what is missing is a proxy or authentication
 */
export function compileCiliumPolicy(object: unknown): Rule[] {
  const rules = ciliumRules(object);
  const needs = rules.flatMap((rule) => rule.needs ?? []);
  if (needs.length > 0) throw new NeedsError(objectName(object), needs);
  return rules;
}

/** The same with the rules that need more than the datapath, which say what. For who can give it to them. */
export function ciliumRules(object: unknown): Rule[] {
  const policy = readCiliumPolicy(object);
  const { kind, metadata } = policy;
  const clusterwide = kind === "CiliumClusterwideNetworkPolicy";
  const namespace = clusterwide ? "" : (metadata.namespace ?? "default");
  const refuseAt =
    (at: string): Refuse =>
    (path, why = "is not enforced by this version") => {
      const field = path === "" ? at : path.startsWith("[") ? `${at}${path}` : `${at}.${path}`;
      throw unsupported(objectName(object), field, why);
    };
  const parts = [
    ...(policy.spec ? [{ rule: policy.spec, at: "spec" }] : []),
    ...(policy.specs ?? []).map((rule, index) => ({ rule, at: `specs[${index}]` })),
  ];
  const origin = { kind, namespace, name: metadata.name, uid: metadata.uid ?? "" };
  const rules = parts.flatMap(({ rule, at }) => compilePart(rule, { origin, at, namespace, refuseAt }));
  checkSelectable(rules, objectName(object));
  return rules;
}

interface PartContext {
  readonly origin: Omit<RuleOrigin, "index">;
  readonly at: string;
  readonly namespace: string;
  readonly refuseAt: (at: string) => Refuse;
}

function compilePart(part: CiliumRule, context: PartContext): Rule[] {
  const { at, namespace, refuseAt } = context;
  const refuse = refuseAt(at);
  if (part.nodeSelector && namespace !== "")
    refuse("nodeSelector", "is for a CiliumClusterwideNetworkPolicy: nodes have no namespace");
  const subject = part.endpointSelector
    ? subjectOf(part.endpointSelector, namespace)
    : { requirements: [aboutHost, ...requirementsOf(part.nodeSelector ?? {}, sourced)] };
  const aboutInit = subject.requirements.some(({ key }) => key === "reserved:init");
  const said = { ...context.origin, ...saidBy(part) };
  const lists = [
    { direction: "ingress", action: "allow", field: "ingress" },
    { direction: "ingress", action: "deny", field: "ingressDeny" },
    { direction: "egress", action: "allow", field: "egress" },
    { direction: "egress", action: "deny", field: "egressDeny" },
  ] as const;
  const rules: Rule[] = [];
  for (const { direction, action, field } of lists) {
    const defaultDeny = isolates(part, direction);
    for (const [index, entry] of (part[field] ?? []).entries()) {
      const path = `${at}.${field}[${index}]`;
      const compiled = compileEntry(entry, { namespace, aboutInit, at: path, refuse: refuseAt(path) });
      const origin = { ...said, index, field: path };
      rules.push({
        origin,
        subject,
        direction,
        tier: "normal",
        priority: 0,
        action,
        ...compiled,
        defaultDeny,
      });
    }
  }
  for (const direction of ["ingress", "egress"] as const) {
    if (!isolates(part, direction) || rules.some((rule) => rule.direction === direction)) continue;
    const what = {
      tier: "normal",
      priority: 0,
      action: "allow",
      peers: [],
      ports: undefined,
      defaultDeny: true,
    } as const;
    rules.push({ origin: { ...said, index: -1, field: at }, subject, direction, ...what });
  }
  return rules;
}

/** Rules of a direction put the endpoint into default deny for it, unless the policy says otherwise. */
function isolates(part: CiliumRule, direction: "ingress" | "egress"): boolean {
  const rules = (part[direction]?.length ?? 0) + (part[`${direction}Deny`]?.length ?? 0);
  return part.enableDefaultDeny?.[direction] ?? rules > 0;
}

function subjectOf(selector: NonNullable<CiliumRule["endpointSelector"]>, namespace: string): Selector {
  const own: Requirement[] =
    namespace === "" ? [] : [{ key: `k8s:${namespaceLabel}`, operator: "In", values: [namespace] }];
  const { [`k8s:${namespaceLabel}`]: _elsewhere, ...matchLabels } = selector.matchLabels ?? {};
  // A policy is about its own namespace, whatever it says: as with Cilium, which takes the label out.
  const kept = namespace === "" ? selector : { ...selector, matchLabels };
  return { requirements: [...own, ...requirementsOf(kept, sourced)] };
}

/** What the policy says of itself in flows. */
function saidBy({ log, labels }: CiliumRule): Pick<RuleOrigin, "log" | "labels"> {
  const texts = (labels ?? []).map(
    ({ source = "unspec", key, value }) => `${source}:${key}${value ? `=${value}` : ""}`,
  );
  return { ...(log?.value && { log: log.value }), ...(texts.length > 0 && { labels: texts }) };
}

/** An entry that names neither peers nor ports matches nothing: with `- {}` a policy isolates and allows nobody. */
function compileEntry(
  entry: AllowOrDeny,
  scope: CiliumScope,
): Pick<Rule, "peers" | "ports" | "references" | "needs"> {
  const named = peersOf(entry, scope);
  const ports = portsOf(entry);
  const needs = needsOf(entry, scope.at);
  const more = needs.length > 0 && { needs };
  if (!named) return { peers: ports ? undefined : [], ports, ...more };
  const { peers, references } = named;
  return { peers, ports, ...(references.length > 0 && { references }), ...more };
}
