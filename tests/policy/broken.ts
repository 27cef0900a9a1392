// SPDX-License-Identifier: Apache-2.0
import type { Dice } from "#kit/dice.ts";
import type { Manifest } from "./oracle/cluster.ts";

/** Ways to break a policy. Each changes one place of a good one so that no API may take it. */

type Json = unknown;
type Path = readonly (string | number)[];

interface Place {
  readonly path: Path;
  readonly value: Json;
}

/** What is wrong now, where, and the object. */
export interface Broken {
  readonly how: string;
  readonly path: Path;
  readonly manifest: Manifest;
}

function* places(value: Json, path: Path = ["spec"]): Generator<Place> {
  yield { path, value };
  if (Array.isArray(value)) {
    for (const [index, one] of value.entries()) yield* places(one, [...path, index]);
  } else if (typeof value === "object" && value !== null) {
    for (const [key, one] of Object.entries(value)) yield* places(one, [...path, key]);
  }
}

/** `gone` as the value takes the field away. */
const gone = Symbol("gone");

function put(value: Json, [head, ...rest]: Path, next: Json): Json {
  if (head === undefined) return next;
  if (Array.isArray(value)) return value.with(Number(head), put(value[Number(head)], rest, next));
  const { [head]: own, ...others } = value as Record<string, Json>;
  const now = put(own, rest, next);
  return now === gone ? others : { ...others, [head]: now };
}

const badCidrs = [
  "10.0.0.0/33",
  "10.0.0/8",
  "::/129",
  "10.0.0.0/-1",
  "300.1.1.1/8",
  "10.0.0.0/8 ",
  "",
  "fe80::1%eth0/64",
];
const badPorts = [70000, -1, 1.5, "70000", "", "-x", "a_b", "a--b", "a-name-that-is-too-long", true];
const badKeys = ["a b", "-a", "a/b/c", "", "a".repeat(64), "A.example/", "ä"];
const badValues = ["a b", "-a", "a".repeat(64), 5, true, { a: 1 }];

type Breaker = (place: Place, d: Dice) => { readonly how: string; readonly value: Json } | undefined;

const last = (path: Path) => path.at(-1);
const isMap = (path: Path) => last(path) === "matchLabels";
const isObject = (value: Json): value is Record<string, Json> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const wrongWords: Readonly<Record<string, readonly Json[]>> = {
  protocol: ["TPC", "tcp", 6, ""],
  operator: ["Is", "in", "", 1],
  action: ["Allow", "accept", "", 1],
  tier: ["admin", "Normal", "", 2],
  priority: [-1, 1001, 1.5, "1"],
  number: [0, 65536, -1, 1.5, "80"],
  start: [0, 65536, "79"],
  endPort: [70000, -1, "80", 1.5],
  family: ["IPv5", 4],
  type: [256, -1, "Nothing", 1.5],
  port: badPorts,
  cidr: [...badCidrs, 5],
  externalCIDRs: ["10.0.0.0/8"],
};

/** Fields that have to be there. */
const needed = ["action", "tier", "priority", "subject", "key", "operator", "cidr", "start", "end", "type"];

const breakers: readonly Breaker[] = [
  ({ path, value }) =>
    isObject(value) && !isMap(path) ? { how: "unknown field", value: { ...value, unknwon: 1 } } : undefined,
  ({ path, value }, d) =>
    Array.isArray(value) && last(path) !== "values"
      ? { how: "no list", value: d.pick(["a", 5, true, {}]) }
      : undefined,
  ({ value }, d) => (isObject(value) ? { how: "no object", value: d.pick(["a", 5, false, [1]]) } : undefined),
  ({ path }, d) => {
    const words = wrongWords[String(last(path))];
    return words && path.at(-2) !== "matchLabels" ? { how: "bad word", value: d.pick(words) } : undefined;
  },
  ({ path }) =>
    needed.includes(String(last(path))) && path.at(-2) !== "matchLabels"
      ? { how: "needed field gone", value: gone }
      : undefined,
  ({ value }) =>
    isObject(value) && value.action ? { how: "no peers", value: { action: value.action } } : undefined,
  ({ path, value }, d) =>
    isMap(path) && isObject(value)
      ? { how: "bad label key", value: { ...value, [d.pick(badKeys)]: "x" } }
      : undefined,
  ({ path, value }, d) =>
    isMap(path) && isObject(value)
      ? { how: "bad label value", value: { ...value, ok: d.pick(badValues) } }
      : undefined,
  ({ path }, d) => (last(path) === "key" ? { how: "bad key", value: d.pick(badKeys) } : undefined),
  ({ path, value }) =>
    isObject(value) && path.at(-2) === "matchExpressions"
      ? { how: "values of no use", value: { ...value, operator: "Exists", values: ["a"] } }
      : undefined,
  ({ path, value }) =>
    isObject(value) && path.at(-2) === "matchExpressions"
      ? { how: "no values", value: { ...value, operator: "In", values: [] } }
      : undefined,
  ({ path, value }, d) =>
    ["networks", "toCIDR", "fromCIDR"].includes(String(last(path))) && Array.isArray(value)
      ? { how: "bad CIDR", value: [...value, d.pick(badCidrs)] }
      : undefined,
  ({ path, value }) =>
    ["toEntities", "fromEntities"].includes(String(last(path))) && Array.isArray(value)
      ? { how: "bad entity", value: [...value, "moon"] }
      : undefined,
  ({ path, value }) =>
    last(path) === "ipBlock" && isObject(value)
      ? { how: "hole outside", value: { cidr: "10.0.0.0/8", except: ["11.0.0.0/8"] } }
      : undefined,
  ({ path, value }) =>
    ["from", "to"].includes(String(path.at(-2))) && isObject(value) && value.ipBlock
      ? { how: "two peers in one", value: { ...value, podSelector: {} } }
      : undefined,
  ({ path, value }) =>
    path.at(-2) === "ports" && isObject(value)
      ? {
          how: "range that ends before it begins",
          value: {
            protocol: "TCP",
            port: "port" in value && typeof value.port === "string" ? "80" : 80,
            endPort: 79,
          },
        }
      : undefined,
  ({ path }) =>
    last(path) === "range"
      ? { how: "range that ends before it begins", value: { start: 80, end: 80 } }
      : undefined,
  ({ value }) =>
    isObject(value) && (value.toPorts || value.icmps)
      ? {
          how: "ports and ICMP in one",
          value: { ...value, toPorts: [{ ports: [{ port: "80" }] }], icmps: [{ fields: [{ type: 8 }] }] },
        }
      : undefined,
  ({ path, value }) =>
    isObject(value) && path.at(-2) === "egress" && "toEndpoints" in value
      ? { how: "two kinds of peers", value: { ...value, toEndpoints: [{}], toEntities: ["world"] } }
      : undefined,
  ({ path, value }, d) =>
    last(path) === "except" && Array.isArray(value)
      ? { how: "bad hole", value: [...value, d.pick(badCidrs)] }
      : undefined,
  ({ path, value }, d) =>
    path.at(-2) === "toPorts" && isObject(value)
      ? {
          how: "needs a proxy",
          value: {
            ...value,
            ...d.pick([{ serverNames: ["a.example"] }, { terminatingTLS: { secret: { name: "s" } } }]),
          },
        }
      : undefined,
  ({ path, value }) =>
    path.at(-2) === "ingress" && isObject(value) && "fromEndpoints" in value
      ? { how: "authentication", value: { ...value, authentication: { mode: "required" } } }
      : undefined,
  ({ path, value }) =>
    path.length === 2 && last(path) === "egress" && Array.isArray(value)
      ? { how: "names of the DNS", value: [...value, { toFQDNs: [{ matchName: "a.example" }] }] }
      : undefined,
  ({ path, value }) =>
    path.at(-2) === "toPorts" && isObject(value)
      ? { how: "HTTP", value: { ...value, rules: { http: [{ method: "GET" }] } } }
      : undefined,
  ({ path, value }) =>
    path.at(-2) === "toPorts" && isObject(value)
      ? {
          how: "too many ports",
          value: { ports: Array.from({ length: 41 }, (_, port) => ({ port: String(port + 1) })) },
        }
      : undefined,
  ({ path, value }) =>
    path.length === 1 &&
    isObject(value) &&
    value.tier &&
    Array.isArray(value.ingress) &&
    value.ingress.length > 0
      ? {
          how: "too many rules",
          value: { ...value, ingress: Array.from({ length: 26 }, () => (value.ingress as Json[])[0]) },
        }
      : undefined,
  ({ path, value }) =>
    path.length === 1 && isObject(value) && (value.endpointSelector || value.nodeSelector)
      ? { how: "two subjects", value: { ...value, endpointSelector: {}, nodeSelector: {} } }
      : undefined,
  ({ path, value }) =>
    path.length === 1 && isObject(value) && (value.endpointSelector || value.nodeSelector)
      ? {
          how: "no subject",
          value: Object.fromEntries(Object.entries(value).filter(([key]) => !key.endsWith("Selector"))),
        }
      : undefined,
  ({ path, value }) =>
    isObject(value) && !isMap(path) ? { how: "deep", value: { ...value, unknwon: deep(2000) } } : undefined,
  ({ path, value }) =>
    isMap(path) && isObject(value)
      ? { how: "long", value: { ...value, long: "a".repeat(1 << 20) } }
      : undefined,
];

function deep(levels: number): Json {
  let value: Json = {};
  for (let i = 0; i < levels; i++) value = { a: value };
  return value;
}

/** A policy with one thing wrong. */
export function breakPolicy(manifest: Manifest, d: Dice): Broken {
  const [field, index] = manifest.specs ? (["specs", 0] as const) : (["spec", undefined] as const);
  const spec = manifest.specs?.[0] ?? manifest.spec!;
  const all = [...places(spec, [])].map(({ path, value }) => ({ path: ["spec", ...path], value }));
  const possible = breakers.flatMap((breaker) => {
    const found = all.flatMap((place) => {
      const broken = breaker(place, d);
      return broken ? [{ ...broken, path: place.path }] : [];
    });
    return found.length > 0 ? [found] : [];
  });
  const { how, path, value } = d.pick(d.pick(possible));
  const inner = path.slice(1);
  const now = put(spec, inner, value) as Record<string, Json>;
  const changed = field === "spec" ? { spec: now } : { specs: [now, ...manifest.specs!.slice(1)] };
  const where = index === undefined ? path : ["specs", index, ...inner];
  return { how, path: where, manifest: { ...manifest, ...changed } as Manifest };
}
