// SPDX-License-Identifier: Apache-2.0
import type { V1Node } from "@kubernetes/client-node";
import { parseAllDocuments } from "yaml";
import { localIdentity } from "#identities/allocate.ts";
import { blockLabels } from "#identities/blocks.ts";
import { cidrLabels } from "#identities/cidr.ts";
import type { KubeObject } from "#k8s/resource.ts";
import { errorText } from "#lib/errors.ts";
import { blockIdentityScope } from "#model/identity.ts";
import { parseLabels } from "#model/labels.ts";
import { toNode } from "#nodes/source.ts";
import { cidrGroupRow } from "#policy/from-cidr-group.ts";
import { languageOf } from "#policy/languages.ts";
import { peerText, requiredPrefixes } from "#policy/peer.ts";
import { IdentityIndex } from "#policy/peer-index.ts";
import { plainRules, type Referenced } from "#policy/references.ts";
import { resolve } from "#policy/resolve.ts";
import type { NamedPort, PolicyEntry, PortRange, Rule } from "#policy/rule.ts";
import { originText, RuleIds } from "#policy/rule-ids.ts";
import { hostLabel, namespaceLabel, selectorText, selects } from "#policy/selector.ts";
import { toEndpointSlice, toService } from "#services/source.ts";

/** Policies as text in; rules and entries as text out. */

export interface StoryIdentity {
  readonly id: number;
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly ports: readonly NamedPort[];
}

const protoNumbers: Readonly<Record<string, number>> = { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132 };
const protoNames = new Map(Object.entries(protoNumbers).map(([name, number]) => [number, name]));

/** Lines `1000 shop/web k8s:app=web,... [http=8080/TCP ...]`. */
export function parseIdentities(text: string): StoryIdentity[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => {
    const [id, name, labels, ...ports] = line.trim().split(/\s+/);
    return {
      id: Number(id),
      name: name!,
      labels: parseLabels(labels!.split(",")),
      ports: ports.map(parsePort),
    };
  });
}

function parsePort(text: string): NamedPort {
  const [, name, port, proto] = /^(.+)=(\d+)\/(\w+)$/.exec(text)!;
  return { name: name!, port: Number(port), proto: protoNumbers[proto!]! };
}

/** Compiles every policy and puts in what it refers to of the other documents; a refused one is a line instead of rules. */
export function compileAll(yaml: string): { rules: readonly Rule[]; refused: string[] } {
  const rules: Rule[] = [];
  const refused: string[] = [];
  const objects = parseAllDocuments(yaml).map((document) => document.toJS() as KubeObject | null);
  for (const object of objects) {
    if (object === null || !policyKinds.test(object.kind!)) continue;
    try {
      rules.push(...languageOf(object)!.compile(object));
    } catch (error) {
      refused.push(errorText(error));
    }
  }
  const plain = plainRules(rules, referencedIn(objects.filter((object) => object !== null)));
  return { rules: plain.rules, refused: [...refused, ...plain.warnings] };
}

const policyKinds = /NetworkPolicy$/;

/** CIDR groups, Services and EndpointSlices among the objects, as policies refer to them. */
export function referencedIn(objects: readonly KubeObject[]): Referenced {
  const ofKind = <T, R>(kind: string, toRow: (object: T) => R | undefined): R[] =>
    objects
      .filter((object) => object.kind === kind)
      .flatMap((object) => {
        const row = toRow(object as T);
        return row === undefined ? [] : [row];
      });
  const slices = ofKind("EndpointSlice", toEndpointSlice);
  return {
    cidrGroups: () => ofKind("CiliumCIDRGroup", cidrGroupRow),
    services: () => ofKind("Service", toService),
    nodes: () => ofKind("Node", (object: V1Node & KubeObject) => toNode(object, "")),
    addressesOf: ({ namespace, name }) =>
      slices
        .filter(({ service }) => service === `${namespace}/${name}`)
        .flatMap(({ endpoints }) => endpoints.map(({ address }) => address)),
  };
}

export function rulesText(rules: readonly Rule[]): string {
  return rules
    .map((rule) => {
      const { direction, action, defaultDeny, subject, peers, ports, origin, tier, priority } = rule;
      const place = tier === "normal" ? "" : `, ${tier} ${priority}`;
      const who = peers ? peers.map(peerText).join(" or ") || "nobody" : "anybody";
      const where = ports ? ports.map(rangeText).join(" ") || "nothing" : "anything";
      const head = `${originText(origin)}\n  ${direction} of {${selectorText(subject)}}${defaultDeny ? ", isolated" : ""}${place}`;
      return `${head}\n  ${action} ${who} on ${where}\n`;
    })
    .join("");
}

function rangeText({ proto, first, last, name }: PortRange): string {
  const protocol = proto === 0 ? "any" : (protoNames.get(proto) ?? String(proto));
  if (name !== undefined) return `${protocol}/${name}`;
  if (first === 0 && last === 65535) return protocol;
  return first === last ? `${protocol}/${first}` : `${protocol}/${first}-${last}`;
}

/** The entries of every pod, and of the node, that a rule selects, one block each. */
export function entriesText(rules: readonly Rule[], identities: readonly StoryIdentity[]): string {
  const index = new IdentityIndex();
  const names = new Map<number, string>([[0, "anybody"]]);
  for (const { id, name, labels, ports } of identities) {
    index.put({ id, labels });
    index.setPorts(id, ports);
    names.set(id, name);
  }
  const cidrs = requiredPrefixes("cidr", rules);
  for (const prefix of cidrs) {
    const id = localIdentity(prefix, (taken) => names.has(taken));
    names.set(id, prefix);
    index.put({ id, labels: cidrLabels(prefix, cidrs, true) });
  }
  const blocks = requiredPrefixes("block", rules);
  for (const prefix of blocks) {
    const id = localIdentity(prefix, (taken) => names.has(taken), blockIdentityScope);
    names.set(id, `block ${prefix}`);
    index.put({ id, labels: blockLabels(prefix, blocks) });
  }
  let out = "";
  for (const { name, labels, ports } of identities) {
    const selected = rules.filter((rule) => selects(rule.subject, labels));
    const isEndpoint = labels.has(`k8s:${namespaceLabel}`) || labels.has(hostLabel);
    if (selected.length === 0 || !isEndpoint) continue;
    const ruleIds = new RuleIds();
    const ruleId = ruleIds.idOf.bind(ruleIds);
    const policy = resolve({ id: 1, rules: selected, peers: index, ports, ruleId, enforcement: "default" });
    out += `${name}: ingress ${policy.enforceIngress ? "enforced" : "open"}, egress ${policy.enforceEgress ? "enforced" : "open"}\n`;
    for (const entry of policy.entries) out += `  ${entryText(entry, names, ruleIds)}\n`;
  }
  return out;
}

function entryText(entry: PolicyEntry, names: ReadonlyMap<number, string>, ruleIds: RuleIds): string {
  const { direction, identity, proto, port, portBits, verdict, precedence, rule, round } = entry;
  const range = { proto, first: port, last: port + 2 ** (16 - portBits) - 1 };
  const origins = (ruleIds.origins(rule) ?? []).map(originText).join(" + ");
  const what = precedence % 2 === 1 ? verdict : `${verdict} by default`;
  return `${round === 2 ? "then " : ""}${direction} ${names.get(identity) ?? identity} ${rangeText(range)} ${what}${origins === "" ? "" : `: ${origins}`}`;
}
