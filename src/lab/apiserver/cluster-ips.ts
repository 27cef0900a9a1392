// SPDX-License-Identifier: Apache-2.0
import { type Address, contains, family, isAddress, nthAddress, prefixSize } from "#model/ip.ts";
import { type FieldError, invalidField } from "./errors.ts";
import type { Holdings } from "./holdings.ts";
import { type JsonObject, type KubeObject, objectAt, stringAt, stringsAt } from "./object.ts";
import { objectKey } from "./store.ts";

/** Gives or keeps the cluster IPs of a draft. */
export function allocateAddresses(
  holdings: Holdings,
  draft: KubeObject,
  old: KubeObject | undefined,
): FieldError[] {
  const spec = objectAt(draft, "spec");
  if (spec["type"] === "ExternalName") {
    for (const name of ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]) delete spec[name];
    return [];
  }
  const before = stringsAt(old, "spec", "clusterIPs");
  const errors = keepAddresses(spec, before);
  if (errors.length > 0) return errors;
  const asked = stringsAt(spec, "clusterIPs");
  const headless = asked[0] === "None";
  const families = wantedFamilies(holdings, spec, asked, old);
  if (!Array.isArray(families)) return [families];
  spec["ipFamilies"] = families;
  if (spec["ipFamilyPolicy"] === undefined)
    spec["ipFamilyPolicy"] = families.length > 1 ? "RequireDualStack" : "SingleStack";
  if (headless) {
    spec["clusterIP"] = "None";
    spec["clusterIPs"] = ["None"];
    return [];
  }
  const key = objectKey(draft.metadata.namespace, draft.metadata.name);
  const addresses: string[] = [];
  for (const [i, name] of families.entries()) {
    const given = asked[i];
    const problem = given ? checkAddress(holdings, given, key) : undefined;
    if (problem)
      return [invalidField("spec.clusterIPs", asked, `failed to allocate IP ${given}: ${problem}`)];
    const address = given ?? freeAddress(holdings, name);
    if (!address)
      return [invalidField("spec.clusterIPs", asked, "failed to allocate a serviceIP: range is full")];
    addresses.push(address);
  }
  spec["clusterIPs"] = addresses;
  spec["clusterIP"] = addresses[0];
  return [];
}

/** clusterIP and clusterIPs agree, and stay what they were once set. */
function keepAddresses(spec: JsonObject, before: readonly string[]): FieldError[] {
  const single = stringAt(spec, "clusterIP");
  let list = stringsAt(spec, "clusterIPs");
  if (single && list.length === 0) list = [single];
  if (before.length > 0 && !single) list = [...before];
  if (single && list[0] !== single) {
    // A client that knows only clusterIP changed it and left the list as it was.
    if (before.length > 0 && before[0] === list[0])
      return [invalidField("spec.clusterIPs[0]", [single], "may not change once set")];
    return [invalidField("spec.clusterIPs", list, "first value must match `clusterIP`")];
  }
  if (before.length > 0 && list[0] !== before[0])
    return [invalidField("spec.clusterIPs[0]", list, "may not change once set")];
  spec["clusterIPs"] = list;
  return [];
}

function wantedFamilies(
  holdings: Holdings,
  spec: JsonObject,
  asked: readonly string[],
  old: KubeObject | undefined,
): string[] | FieldError {
  const available = holdings.pools.map((pool) => pool.name as string);
  const given = stringsAt(spec, "ipFamilies");
  const unknown = given.findIndex((name) => !available.includes(name));
  if (unknown >= 0)
    return invalidField(`spec.ipFamilies[${unknown}]`, given[unknown], "not configured on this cluster");
  const fromAddresses = asked
    .filter((ip) => isAddress(ip))
    .map((ip) => (family(ip as Address) === 4 ? "IPv4" : "IPv6"));
  const policy = stringAt(spec, "ipFamilyPolicy");
  const known =
    given.length > 0
      ? given
      : fromAddresses.length > 0
        ? fromAddresses
        : stringsAt(old, "spec", "ipFamilies");
  const first = known[0] ?? available[0];
  if (first === undefined)
    return invalidField("spec.ipFamilies", given, "the cluster has no service addresses");
  const second = known[1] ?? available.find((name) => name !== first);
  if (policy === "RequireDualStack" && available.length < 2) {
    return invalidField(
      "spec.ipFamilyPolicy",
      policy,
      "this cluster is not configured for dual-stack services",
    );
  }
  // A second family that was asked for by name or address needs no policy.
  const dual =
    policy === "PreferDualStack" || policy === "RequireDualStack" || (policy === "" && known.length > 1);
  return dual && second !== undefined ? [first, second] : [first];
}

function checkAddress(holdings: Holdings, text: string, key: string): string | undefined {
  if (!isAddress(text)) return "not a valid IP address";
  if (!holdings.pools.some((pool) => contains(pool.prefix, text))) {
    const ranges = holdings.pools.map((pool) => pool.prefix).join(", ");
    return `the provided IP (${text}) is not in the valid range. The range of valid IPs is ${ranges}`;
  }
  const holder = holdings.held.get(text);
  return holder !== undefined && holder !== key ? "provided IP is already allocated" : undefined;
}

function freeAddress(holdings: Holdings, name: string): string | undefined {
  const pool = holdings.pools.find((item) => item.name === name);
  if (!pool) return undefined;
  const last = Math.min(prefixSize(pool.prefix), 2 ** 20) - 2;
  for (let tries = 0; tries < last; tries++) {
    const address = nthAddress(pool.prefix, pool.next);
    pool.next = pool.next >= last ? 2 : pool.next + 1;
    if (!holdings.held.has(address)) return address;
  }
  return undefined;
}
