// SPDX-License-Identifier: Apache-2.0
import { blockIdentityScope, isBlockIdentity, reservedNames } from "#model/identity.ts";
import type { Labels } from "#model/labels.ts";
import { protocolName } from "#model/port.ts";
import { peerText } from "../peer.ts";
import { policyKey } from "../policy-key.ts";
import type { Peer, PolicyEntry, PortRange, Requirement, Rule, RuleOrigin, Selector } from "../rule.ts";
import { namespaceLabel, namespaceLabelsPrefix } from "../selector.ts";
import type { Party } from "./ends.ts";

/** `shop/front`, `node:worker-1`, an address, `world`, `service shop/front`. */
export function partyText(party: Party): string {
  switch (party.kind) {
    case "pod":
      return `${party.pod.namespace}/${party.pod.name}`;
    case "node":
      return `node:${party.node.name}`;
    case "address":
      return party.address;
    case "reserved":
      return party.name;
    case "service":
      return `service ${party.service.namespace}/${party.service.name}`;
  }
}

/** `NetworkPolicy shop/web spec.ingress[0] (policies.yaml:12)`. */
export function placeText(origin: RuleOrigin): string {
  if (origin.kind === "Implicit") return origin.name;
  const named = origin.rule === undefined ? "" : ` "${origin.rule}"`;
  const field = origin.field === undefined ? "" : ` ${origin.field}${named}`;
  return `${policyKey(origin)}${field}${origin.source === undefined ? "" : ` (${origin.source})`}`;
}

/** `allows app=front in shop on 80/TCP`. */
export function ruleText({ action, peers, ports }: Rule): string {
  const who = peers === undefined ? "anybody" : peers.map(whoText).join(" or ") || "nobody";
  const where = ports === undefined ? "any port" : ports.map(rangeText).join(", ") || "no port";
  const verb = { allow: "allows", deny: "denies", pass: "passes on" }[action];
  return `${verb} ${who} on ${where}`;
}

function whoText(peer: Peer): string {
  if (peer.kind === "selector") return selectorWords(peer.selector);
  if (peer.kind === "entity") return peer.entity;
  const text = peerText(peer);
  return text.slice(text.indexOf(":") + 1);
}

/** A selector of pods in words: `app=front in namespace shop`. */
function selectorWords({ requirements }: Selector): string {
  const plain: string[] = [];
  const spaces: string[] = [];
  for (const requirement of requirements) {
    const name = requirement.key.slice(requirement.key.indexOf(":") + 1);
    if (name === namespaceLabel) {
      if (requirement.operator === "Exists") spaces.push("any namespace");
      else spaces.push(`namespace ${requirementWords({ ...requirement, key: "" })}`.replace(" =", " "));
    } else if (name.startsWith(namespaceLabelsPrefix)) {
      spaces.push(
        `namespaces with ${requirementWords({ ...requirement, key: name.slice(namespaceLabelsPrefix.length) })}`,
      );
    } else {
      const key = requirement.key.startsWith("reserved:") ? requirement.key : name;
      plain.push(requirementWords({ ...requirement, key }));
    }
  }
  const own = spaces.length > 1 ? spaces.filter((one) => one !== "any namespace") : spaces;
  return `${plain.join(", ") || "any pod"}${own.length === 0 ? "" : ` in ${own.join(", ")}`}`;
}

function requirementWords({ key, operator, values }: Requirement): string {
  if (operator === "Exists") return key;
  if (operator === "DoesNotExist") return `!${key}`;
  if (operator === "In")
    return values.length === 1 ? `${key}=${values[0]}` : `${key} in (${values.join(", ")})`;
  return `${key} not in (${values.join(", ")})`;
}

/** Labels as people know them: without source, those Weft adds last and short. */
export function labelWords(labels: Labels): string {
  const own: string[] = [];
  const added: string[] = [];
  for (const [key, value] of labels) {
    const name = key.slice(key.indexOf(":") + 1);
    if (name === namespaceLabel) added.push(`namespace ${value}`);
    else if (/^io\.cilium\.k8s\./.test(name)) continue;
    else if (!key.startsWith("k8s:")) own.push(value === "" ? key : `${key}=${value}`);
    else own.push(value === "" ? name : `${name}=${value}`);
  }
  return [...own, ...added].join(", ");
}

/** `anybody`, `identity 1234`, `world`, `addresses of a block`. */
function identityText(identity: number): string {
  if (identity === 0) return "anybody";
  const name = reservedNames.get(identity);
  if (name !== undefined) return name;
  return isBlockIdentity(identity)
    ? `block 0x${(identity - blockIdentityScope).toString(16)}`
    : `identity ${identity}`;
}

/** `egress to identity 1234 on 80/TCP: allow`. */
export function entryText(entry: PolicyEntry): string {
  const { direction, identity, proto, port, portBits, verdict } = entry;
  const range = rangeText({
    proto,
    first: port,
    last: proto === 0 ? 65_535 : port + 2 ** (16 - portBits) - 1,
  });
  const whom = `${direction === "ingress" ? "from" : "to"} ${identityText(identity)}`;
  return `${direction} ${whom} on ${range}: ${verdict}`;
}

/** `80/TCP`, `8000-8080/TCP`, `http/TCP`, `TCP`, `any`. */
function rangeText({ proto, first, last, name }: PortRange): string {
  const protocol = proto === 0 ? "any" : protocolName(proto);
  if (name !== undefined) return proto === 0 ? name : `${name}/${protocol}`;
  if (first === 0 && last === 65_535) return protocol === "any" ? "any port" : protocol;
  const range = first === last ? String(first) : `${first}-${last}`;
  return `${range}/${protocol}`;
}
