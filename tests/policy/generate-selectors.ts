// SPDX-License-Identifier: Apache-2.0
import fc from "#kit/property.ts";
import { namespaces } from "./generate-cluster.ts";
import type { Bag } from "./oracle/cluster.ts";

/** Parts that several languages have. */

const podLabels = fc.oneof(
  fc.record({ app: fc.constantFrom("a", "b", "c") }),
  fc.record({ tier: fc.constantFrom("front", "back") }),
  fc.record({ canary: fc.constant("yes") }),
  fc.record({ app: fc.constantFrom("a", "b"), tier: fc.constantFrom("front", "back") }),
);

const spaceKeys = ["team", "env", "kubernetes.io/metadata.name", "absent"] as const;
const podKeys = ["app", "tier", "canary", "absent"] as const;
const valuesOf: Readonly<Record<string, readonly string[]>> = {
  app: ["a", "b", "c"],
  tier: ["front", "back"],
  canary: ["yes", "no"],
  team: ["red", "blue"],
  env: ["prod", "dev"],
  "kubernetes.io/metadata.name": namespaces,
  absent: ["yes"],
};

function someOf(values: readonly string[]): fc.Arbitrary<string[]> {
  return fc.subarray([...values], { minLength: 1, maxLength: Math.min(2, values.length) });
}

export function expression(keys: readonly string[], prefix = ""): fc.Arbitrary<Bag> {
  return fc.constantFrom(...keys).chain((key) =>
    fc.oneof(
      fc.constantFrom("Exists", "DoesNotExist").map((operator) => ({ key: `${prefix}${key}`, operator })),
      fc.record({
        key: fc.constant(`${prefix}${key}`),
        operator: fc.constantFrom("In", "NotIn"),
        values: someOf(valuesOf[key]!),
      }),
    ),
  );
}

function labelSelector(labels: fc.Arbitrary<object>, keys: readonly string[]): fc.Arbitrary<Bag> {
  return fc.oneof(
    { weight: 1, arbitrary: fc.constant({}) },
    { weight: 3, arbitrary: fc.record({ matchLabels: labels }) },
    {
      weight: 2,
      arbitrary: fc.record({ matchExpressions: fc.array(expression(keys), { minLength: 1, maxLength: 2 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ matchLabels: labels, matchExpressions: fc.tuple(expression(keys)) }),
    },
  );
}

export const podSelector = labelSelector(podLabels, podKeys);
export const spaceSelector = labelSelector(
  fc.oneof(
    fc.record({ team: fc.constantFrom("red", "blue") }),
    fc.record({ env: fc.constantFrom("prod", "dev") }),
    fc.record({ "kubernetes.io/metadata.name": fc.constantFrom(...namespaces) }),
  ),
  spaceKeys,
);

export const nodeSelector: fc.Arbitrary<Bag> = fc.oneof(
  fc.constant({}),
  fc.record({ matchLabels: fc.record({ zone: fc.constantFrom("north", "south") }) }),
  fc.constant({
    matchExpressions: [{ key: "node-role.kubernetes.io/control-plane", operator: "In", values: ["yes"] }],
  }),
);

/** Ranges around and inside the addresses there are, with holes that lie in them. */
const holesOf: Readonly<Record<string, readonly string[]>> = {
  "0.0.0.0/0": ["203.0.113.0/24", "203.0.113.64/26", "10.0.0.0/8", "10.244.0.0/31"],
  "203.0.113.0/24": ["203.0.113.5/32", "203.0.113.64/26"],
  "203.0.113.5/32": [],
  "198.51.100.0/24": ["198.51.100.7/32"],
  "192.0.2.10/32": [],
  "10.0.0.0/8": ["10.244.1.0/24", "10.244.0.2/31", "10.244.0.3/32"],
  "10.244.0.0/24": ["10.244.0.2/31", "10.244.0.4/32"],
  "10.244.0.2/31": ["10.244.0.2/32"],
  "10.244.1.0/24": ["10.244.1.3/32"],
  "172.18.0.0/16": ["172.18.0.2/32"],
  "::/0": ["2001:db8::/64", "2001:db8:1::/48", "fd00::/8"],
  "2001:db8::/32": ["2001:db8::/48", "2001:db8::5/128"],
  "fd00:10:244::/48": ["fd00:10:244:1::/64", "fd00:10:244::2/127"],
  "fd00:172:18::2/128": [],
};
export const cidr = fc.constantFrom(...Object.keys(holesOf));

export const block: fc.Arbitrary<{ cidr: string; except?: string[] }> = cidr.chain((one) => {
  const holes = holesOf[one]!;
  if (holes.length === 0) return fc.constant({ cidr: one });
  return fc
    .subarray([...holes], { maxLength: Math.min(2, holes.length) })
    .map((except) => (except.length > 0 ? { cidr: one, except } : { cidr: one }));
});

export const portName = fc.constantFrom("http", "alt", "game", "dns", "signal", "absent");
export const portNumber = fc.constantFrom(53, 79, 80, 81, 82, 443);

export const few = <T>(one: fc.Arbitrary<T>) => fc.array(one, { minLength: 1, maxLength: 2 });
