// SPDX-License-Identifier: Apache-2.0
import {
  type Flow,
  type Policy,
  TrafficDirectionSchema,
  Verdict,
  VerdictSchema,
} from "#api/gen/flow/flow_pb.ts";
import { enumName } from "#flows/enum-names.ts";
import { dropText, EventType, policyMatchNames, tracePointNames } from "#flows/names.ts";
import { reservedNames } from "#model/identity.ts";

/** Colours a part of a flow; the identity when colours are off. */
export type Paint = (part: "host" | "port" | "identity" | "good" | "bad" | "odd", text: string) => string;

const codes = { host: 36, port: 33, identity: 35, good: 32, bad: 31, odd: 33 } as const;

export const plain: Paint = (_part, text) => text;
export const coloured: Paint = (part, text) => `\x1b[${codes[part]}m${text}\x1b[0m`;

export interface TextOptions {
  readonly paint: Paint;
  /** Names instead of addresses where there are any. */
  readonly translate: boolean;
}

export interface Sides {
  readonly source: string;
  readonly destination: string;
}

/** `namespace/pod:port`, else service, else domain names, else the address; ports only where the protocol has them. */
export function hostTexts(flow: Flow, options: TextOptions): Sides {
  if (!flow.IP) return { source: flow.ethernet?.source ?? "", destination: flow.ethernet?.destination ?? "" };
  const ports = portsOf(flow);
  const one = (side: "source" | "destination", port: number | undefined) => {
    const endpoint = flow[side];
    const service = side === "source" ? flow.sourceService : flow.destinationService;
    const names = side === "source" ? flow.sourceNames : flow.destinationNames;
    let host = flow.IP?.[side] ?? "";
    if (options.translate) {
      if (endpoint?.podName) host = joinName(endpoint.namespace, endpoint.podName);
      else if (service?.name) host = joinName(service.namespace, service.name);
      else if (names.length > 0) host = names.join(",");
    }
    const { paint } = options;
    if (port === undefined || port === 0) return paint("host", host);
    return `${paint("host", host.includes(":") ? `[${host}]` : host)}:${paint("port", String(port))}`;
  };
  return { source: one("source", ports?.source), destination: one("destination", ports?.destination) };
}

/** `(ID:1234)`, `(world)`. */
export function identityTexts(flow: Flow, { paint }: TextOptions): Sides {
  const one = (identity: number) => paint("identity", `(${reservedNames.get(identity) ?? `ID:${identity}`})`);
  return { source: one(flow.source?.identity ?? 0), destination: one(flow.destination?.identity ?? 0) };
}

/** `to-endpoint`, `Policy denied`, `policy-verdict:none INGRESS`. */
export function typeText(flow: Flow): string {
  const type = flow.eventType?.type ?? 0;
  const subType = flow.eventType?.subType ?? 0;
  if (type === EventType.trace) return tracePointNames.get(subType) ?? String(subType);
  if (type === EventType.drop) return dropText(subType);
  if (type !== EventType.verdict) return "UNKNOWN";
  const match = policyMatchNames.get(flow.policyMatchType) ?? "unknown";
  return `policy-verdict:${match} ${enumName(TrafficDirectionSchema, flow.trafficDirection)}`;
}

const verdictWords: Readonly<
  Record<number, { readonly judged: string; readonly paint: "good" | "bad" | "odd" }>
> = {
  [Verdict.FORWARDED]: { judged: "ALLOWED", paint: "good" },
  [Verdict.REDIRECTED]: { judged: "ALLOWED", paint: "good" },
  [Verdict.DROPPED]: { judged: "DENIED", paint: "bad" },
  [Verdict.ERROR]: { judged: "DENIED", paint: "bad" },
  [Verdict.AUDIT]: { judged: "AUDITED", paint: "odd" },
  [Verdict.TRACED]: { judged: "TRACED", paint: "odd" },
  [Verdict.TRANSLATED]: { judged: "TRANSLATED", paint: "odd" },
};

/** The verdict, in a policy verdict's own words; with `policyNames` followed by ` BY name (kind), ...`. */
export function verdictText(flow: Flow, { paint }: TextOptions, policyNames: boolean): string {
  const isVerdict = flow.eventType?.type === EventType.verdict;
  const words = verdictWords[flow.verdict];
  let text = isVerdict && words ? words.judged : enumName(VerdictSchema, flow.verdict);
  const policies = policyNames ? verdictPolicies(flow) : [];
  if (policies.length > 0) text += ` BY ${policies.map(({ name, kind }) => `${name} (${kind})`).join(", ")}`;
  return words ? paint(words.paint, text) : text;
}

function verdictPolicies(flow: Flow): Policy[] {
  const denied = [...flow.egressDeniedBy, ...flow.ingressDeniedBy];
  return denied.length > 0 ? denied : [...flow.egressAllowedBy, ...flow.ingressAllowedBy];
}

/**
 * Which policies decided, for the end of a line: ` [egress allowed by NetworkPolicy shop/a; ingress denied by
 * CiliumNetworkPolicy shop/b spec.egressDeny[0] (shop.yaml:12)]`; empty when none is known. The rule and where it is written are told of denials.
 * @param why of every flow, and also that no policy selects
 */
export function policyText(flow: Flow, why = false): string {
  const detailed = why || flow.verdict === Verdict.DROPPED || flow.verdict === Verdict.AUDIT;
  const directions = [
    { name: "egress", allowed: flow.egressAllowedBy, denied: flow.egressDeniedBy },
    { name: "ingress", allowed: flow.ingressAllowedBy, denied: flow.ingressDeniedBy },
  ] as const;
  const parts = directions.flatMap(({ name, allowed, denied }) => {
    const log = flow.policyLog.flatMap((text) =>
      text.startsWith(`${name}: `) ? [text.slice(name.length + 2)] : [],
    );
    const silence = log.find((text) => text.startsWith("default deny") || (why && text === noPolicy));
    const by = (policies: readonly Policy[]) => policies.map((one) => decidedText(one, detailed)).join(", ");
    if (denied.length > 0) return [`${name} denied by ${by(denied)}${silence ? `: ${silence}` : ""}`];
    if (allowed.length > 0) return [`${name} allowed by ${by(allowed)}`];
    return silence === undefined ? [] : [`${name}: ${silence}`];
  });
  return parts.length === 0 ? "" : ` [${parts.join("; ")}]`;
}

const noPolicy = "no policy selects";

function decidedText({ kind, namespace, name, labels }: Policy, detailed: boolean): string {
  const object = `${kind} ${joinName(namespace, name)}`;
  if (!detailed) return object;
  const own = (prefix: string) =>
    labels.filter((label) => label.startsWith(prefix)).map((label) => label.slice(prefix.length));
  const sources = own("weft:source=");
  const place = sources.length > 0 ? ` (${sources.join(", ")})` : "";
  return [object, ...own("weft:rule=")].join(" ") + place;
}

/** Names come from the cluster: control characters would reach the terminal. */
export function clean(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed, except our own colours and line ends
  return text.replace(/\x1b(?!\[\d{1,2}m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]/g, "\ufffd");
}

function joinName(namespace: string, name: string): string {
  return namespace === "" ? name : `${namespace}/${name}`;
}

function portsOf(flow: Flow): { readonly source: number; readonly destination: number } | undefined {
  const protocol = flow.l4?.protocol;
  if (protocol?.case !== "TCP" && protocol?.case !== "UDP" && protocol?.case !== "SCTP") return undefined;
  return { source: protocol.value.sourcePort, destination: protocol.value.destinationPort };
}
