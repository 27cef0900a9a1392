// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointsEach, moving, near, objectsOf, other, outside, serviceNames } from "./services.ts";

interface Shown {
  readonly kind: string;
  readonly spec?: { readonly clusterIP: string };
  readonly ports?: readonly { readonly port: number }[];
  readonly endpoints?: readonly { readonly addresses: readonly string[] }[];
}

const shown = (objects: readonly object[]) => objects as Shown[];

test("so many services are so many, the bench's own among them", () => {
  assert.deepEqual(serviceNames(1), []);
  assert.equal(serviceNames(1000).length, 997);
  assert.equal(serviceNames(1000).filter((name) => name.startsWith("near-")).length, 15);
});

test("a larger cluster has all that a smaller one has", () => {
  const large = new Set(serviceNames(10_000));
  for (const name of serviceNames(1000)) assert.ok(large.has(name), name);
});

test("no two services share an address, no two of the others an endpoint", () => {
  const others = Array.from({ length: 20_000 }, (_, i) => other(i)).map(shown);
  const addresses = [
    ...others,
    shown(near("10.244.99.2")),
    shown(moving("10.244.99.3")),
    shown(outside()),
  ].map(([service]) => service?.spec?.clusterIP ?? "");
  assert.equal(new Set(addresses).size, 20_003);
  const endpoints = others.flatMap(([, slice]) => slice?.endpoints ?? []).map(({ addresses: [one] }) => one);
  assert.equal(new Set(endpoints).size, 200_000);
  assert.ok(endpoints.every((one) => /^10\.1[23]\d\.\d{1,3}\.\d{1,3}$/.test(one ?? "")));
});

test("a service can be made from its name alone", () => {
  for (const name of ["near-3", "other-17"]) {
    const [service] = shown(objectsOf(name, "10.244.99.2"));
    assert.equal((service as { metadata?: { name?: string } }).metadata?.name, name);
  }
  assert.throws(() => objectsOf("near", "10.244.99.2"), /no service near/);
});

test("every service has ten endpoints, those of near are ports of one pod", () => {
  const slices = (objects: object[]) => shown(objects).filter(({ kind }) => kind === "EndpointSlice");
  const ports = slices(near("10.244.99.2")).map((one) => one.ports?.[0]?.port);
  assert.equal(new Set(ports).size, endpointsEach);
  for (const objects of [other(7), outside()])
    assert.equal(slices(objects)[0]?.endpoints?.length, endpointsEach);
});
