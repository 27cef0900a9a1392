// SPDX-License-Identifier: Apache-2.0
import { errorText } from "#lib/errors.ts";
import type { Annotations } from "#model/annotations.ts";
import { parseLabelSelector } from "#model/selector-text.ts";
import type { Algorithm, ForwardingMode } from "#services/service.ts";

/** What a Service's annotations ask for; each as Cilium names it. */
export interface ServiceAnnotations {
  readonly algorithm?: Algorithm;
  readonly forwarding?: ForwardingMode;
  /** Kinds of addresses that are served; absent: all it has. External IPs are of no kind. */
  readonly exposed?: readonly ExposedType[];
  /** A label selector: the nodes that serve what the outside sees of it. */
  readonly nodeSelector?: string;
  /** The source ranges are those that may not ask. */
  readonly denyRanges?: true;
  /** What could not be read or is not supported: it has no effect. */
  readonly problems: readonly string[];
}

export type ExposedType = (typeof exposedTypes)[number];

const exposedTypes = ["ClusterIP", "NodePort", "LoadBalancer"] as const;
const prefix = "service.cilium.io/";

/** Reads a Service's annotations. One with an unknown value is a problem, and as if it were not there. */
export function readServiceAnnotations(annotations: Annotations): ServiceAnnotations {
  const problems: string[] = [];
  const oneOf = <T extends string>(name: string, known: readonly T[]): T | undefined => {
    const text = annotations?.[prefix + name]?.trim();
    const found = known.find((value) => value === text);
    if (text !== undefined && found === undefined)
      problems.push(`${prefix}${name}: "${text}" is none of ${known.join(", ")}`);
    return found;
  };
  const algorithm = oneOf("lb-algorithm", ["random", "maglev"] as const);
  const policy = oneOf("src-ranges-policy", ["allow", "deny"]);
  const forwarding = oneOf("forwarding-mode", ["snat", "dsr"] as const);
  const exposed = readExposed(annotations?.[`${prefix}type`], problems);
  const node = annotations?.[`${prefix}node`]?.trim();
  const selector = annotations?.[`${prefix}node-selector`];
  const nodeSelector = selector === undefined ? labelled(node, problems) : readSelector(selector, problems);
  if (forwarding === "dsr" && nodeSelector !== undefined)
    problems.push(`${prefix}forwarding-mode: dsr needs every node to serve it, snat is used`);
  return {
    ...(algorithm && { algorithm }),
    ...(forwarding && { forwarding }),
    ...(exposed && { exposed }),
    ...(nodeSelector && { nodeSelector }),
    ...(policy === "deny" && { denyRanges: true }),
    problems,
  };
}

function readExposed(text: string | undefined, problems: string[]): readonly ExposedType[] | undefined {
  if (text === undefined) return undefined;
  const names = text.split(",").map((name) => name.trim());
  const known = exposedTypes.filter((type) => names.includes(type));
  if (known.length === new Set(names).size) return known;
  problems.push(`${prefix}type: "${text}" is no list of ${exposedTypes.join(", ")}`);
  return undefined;
}

function readSelector(text: string | undefined, problems: string[]): string | undefined {
  if (text === undefined) return undefined;
  try {
    parseLabelSelector(text, `${prefix}node-selector`);
    return text;
  } catch (thrown) {
    problems.push(errorText(thrown));
    return undefined;
  }
}

/** `service.cilium.io/node: X`: nodes with a label of the same name and value. */
function labelled(value: string | undefined, problems: string[]): string | undefined {
  if (value === undefined) return undefined;
  if (/^[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?$/.test(value)) return `${prefix}node=${value}`;
  problems.push(`${prefix}node: "${value}" is no value of a label`);
  return undefined;
}

/** The share of new connections that each endpoint of an EndpointSlice gets; undefined: as others. Unknown values count as none. */
export function readWeight(annotations: Annotations): number | undefined {
  const text = annotations?.[`${prefix}weight`]?.trim();
  if (text === undefined || !/^\d{1,5}$/.test(text)) return undefined;
  const weight = Number(text);
  return weight > 65_535 || weight === 1 ? undefined : weight;
}
