// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { room, slice } from "#kit/service-room.ts";
import { backendStates } from "#services/backend-states.ts";
import { screened } from "#services/screen.ts";

const claiming = (name: string, made: string, spec: string) => `
kind: Service
metadata: { namespace: shop, name: ${name}, creationTimestamp: "2026-01-01T00:00:${made}Z" }
spec: { ports: [{ name: http, port: 80 }], ${spec} }
`;
const sliceOf = (name: string, endpoints: string[]) => slice(endpoints, { name: `${name}-1`, service: name });

test("of two services that claim one address and port the older has it, whoever came first; then the other", async () => {
  await using r = await room();
  r.sync();
  r.put(sliceOf("old", ["10.0.0.1"]));
  r.put(sliceOf("first", ["10.0.0.2"]));
  const young = claiming("first", "09", "clusterIP: 10.96.0.2, externalIPs: [203.0.113.7]");
  const old = claiming("old", "01", "clusterIP: 10.96.0.1, externalIPs: [203.0.113.7]");
  r.put(young);
  assert.equal((await r.settle()).at(-1), "203.0.113.7:80/TCP id=2 flags=2 -> 10.0.0.2:8080/TCP");
  assert.deepEqual(await r.apply(old), [
    "10.96.0.1:80/TCP id=3 flags=4 -> 10.0.0.1:8080/TCP",
    "10.96.0.2:80/TCP id=1 flags=4 -> 10.0.0.2:8080/TCP",
    "203.0.113.7:80/TCP id=2 flags=2 -> 10.0.0.1:8080/TCP",
  ]);
  const row = r.frontends.get("203.0.113.7:80/TCP");
  assert.deepEqual([row?.name, row?.contested], ["old", ["shop/first"]]);
  r.maps.takeWrites();
  await r.apply(young.replace("metadata: {", "metadata: { labels: { tier: front },"));
  assert.equal(r.maps.takeWrites(), 0, "the loser's changes disturb nobody");
  const left = await r.remove(old);
  assert.equal(left.at(-1), "203.0.113.7:80/TCP id=2 flags=2 -> 10.0.0.2:8080/TCP");
  assert.equal(r.frontends.get("203.0.113.7:80/TCP")?.contested, undefined);
});

test("an endpoint that is a service's address is left out, in whatever order the two come, and says whose it is", async () => {
  const target = claiming("target", "01", "clusterIP: 10.96.0.9");
  const chained = claiming("chained", "02", "clusterIP: 10.96.0.8");
  const endpoints = sliceOf("chained", ["10.96.0.9", "10.96.0.8", "10.0.0.1"]);
  for (const order of [
    [target, chained, endpoints],
    [endpoints, chained, target],
  ]) {
    await using r = await room();
    r.sync();
    for (const yaml of order) await r.apply(yaml);
    const chainedLine = async () => (await r.settle()).find((line) => line.startsWith("10.96.0.8"));
    assert.match((await chainedLine())!, /flags=4 -> 10\.0\.0\.1:8080\/TCP$/);
    const known = { services: r.services, isNode: () => false };
    const rows = backendStates(
      r.services.get("shop/chained")!,
      screened([...r.slices.all()], known),
      [...r.frontends.by("service", "shop/chained")],
      { addresses: [], families: [4] },
    );
    assert.deepEqual(
      rows.map(({ backend, state, reason }) => `${backend} ${state} ${reason}`),
      [
        "10.0.0.1:8080/TCP active ",
        "10.96.0.8:8080/TCP unused is an address of Service shop/chained",
        "10.96.0.9:8080/TCP unused is an address of Service shop/target",
      ],
    );
    await r.remove(target);
    assert.match((await chainedLine())!, /-> 10\.0\.0\.1:8080\/TCP 10\.96\.0\.9:8080\/TCP$/);
  }
});

test("an outer address that is a node's own, and what Kubernetes makes of pods, are places to be led to", async () => {
  await using r = await room();
  r.sync();
  r.put(claiming("edge", "01", "clusterIP: 10.96.0.7, externalIPs: [192.168.0.1]"));
  const lines = await r.apply(sliceOf("edge", ["192.168.0.1"]));
  assert.equal(lines[0], "10.96.0.7:80/TCP id=1 flags=4 -> 192.168.0.1:8080/TCP");
});
