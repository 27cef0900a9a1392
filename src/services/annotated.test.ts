// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { room, slice } from "#kit/service-room.ts";
import { parseAddress } from "#model/ip.ts";
import { frontendsOf } from "#services/frontends.ts";
import { toService } from "#services/source.ts";

const annotated = (annotations: string, name = "web") => `
kind: Service
metadata: { namespace: shop, name: ${name}, annotations: { ${annotations} } }
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.14
  loadBalancerSourceRanges: [10.0.0.0/8]
  ports: [{ name: http, port: 80, nodePort: 30080 }]
status: { loadBalancer: { ingress: [{ ip: 198.51.100.1 }] } }
`;
const of = (name: string, value: string) => annotated(`service.cilium.io/${name}: "${value}"`);
const [one, two] = ["10.0.0.1:8080/TCP", "10.0.0.2:8080/TCP"];
const served = (lines: readonly string[]) => lines.map((line) => line.split(" ")[0]);

test("lb-algorithm maglev gives all addresses tables, taken away with it; an unknown one is a problem and no more", async () => {
  await using r = await room();
  r.sync();
  r.put(of("lb-algorithm", "maglev"));
  const backends = slice(["10.0.0.1", "10.0.0.2"]);
  assert.deepEqual(await r.apply(backends), [
    `10.96.0.14:80/TCP id=1 flags=260 table=16381 -> ${one} ${two}`,
    `127.0.0.1:30080/TCP id=4 flags=288 table=16381 -> ${one} ${two}`,
    `192.168.0.1:30080/TCP id=3 flags=257 table=16381 -> ${one} ${two}`,
    `198.51.100.1:80/TCP id=2 flags=386 table=16381 from=10.0.0.0/8 -> ${one} ${two}`,
  ]);
  const table = () => {
    const [first, ...others] = r.maps.tables.content.values();
    assert.ok(first && others.length === 0, "one for all addresses");
    return first;
  };
  const before = table();
  await r.apply(slice(["10.0.0.1"]));
  assert.equal(new Set(table()).size, 1);
  await r.apply(slice([]));
  assert.deepEqual(r.maps.tables.signatures(), []);
  await r.apply(backends);
  const after = table();
  assert.equal(after.length, before.length);
  const lines = await r.apply(of("lb-algorithm", "fastest"));
  assert.equal(lines[0], `10.96.0.14:80/TCP id=1 flags=4 -> ${one} ${two}`);
  assert.match(r.services.get("shop/web")!.problems[0]!, /lb-algorithm: "fastest" is none of random, maglev/);
});

test("weights of EndpointSlices share out new connections; 0 takes none as long as others do", async () => {
  await using r = await room();
  r.sync();
  r.put(annotated(""));
  const weighted = (name: string, address: string, weight: number) =>
    slice([address], { name }).replace(
      "labels:",
      `annotations: { service.cilium.io/weight: "${weight}" }, labels:`,
    );
  r.put(weighted("web-1", "10.0.0.1", 3));
  const [first] = await r.apply(weighted("web-2", "10.0.0.2", 1));
  assert.equal(first, `10.96.0.14:80/TCP id=1 flags=4 table=16381 -> ${one} ${two}`);
  const table = [...[...r.maps.tables.content.values()][0]!];
  const counts = [...new Set(table)].map((id) => table.filter((other) => other === id).length);
  assert.deepEqual(
    counts.sort((a, b) => a - b),
    [4095, 12_286],
  );
  const drained = await r.apply(weighted("web-2", "10.0.0.2", 0));
  assert.equal(drained[0], `10.96.0.14:80/TCP id=1 flags=4 -> ${one} | ${two}`);
  const equal = await r.apply(weighted("web-1", "10.0.0.1", 0));
  assert.equal(equal[0], `10.96.0.14:80/TCP id=1 flags=4 -> ${one} ${two}`);
});

test("type, node-selector and src-ranges-policy", async () => {
  await using r = await room();
  r.sync();
  r.put(slice(["10.0.0.1"]));
  assert.deepEqual(served(await r.apply(of("type", "LoadBalancer"))), ["198.51.100.1:80/TCP"]);
  assert.equal(served(await r.apply(of("type", "ClusterIP,NodePort"))).length, 3);
  assert.equal(served(await r.apply(of("type", "Anything"))).length, 4);
  const zone = "topology.kubernetes.io/zone";
  assert.equal(served(await r.apply(of("node-selector", `${zone}=z1`))).length, 4);
  assert.deepEqual(served(await r.apply(of("node-selector", `${zone}!=z1`))), ["10.96.0.14:80/TCP"]);
  const denied = await r.apply(of("src-ranges-policy", "deny"));
  assert.ok(
    denied.some((line) => line.includes("flags=642 from=10.0.0.0/8")),
    denied.join("\n"),
  );
});

test("direct server return: for what the backends' nodes know, snat for the rest", () => {
  const here = {
    nodeName: "n1",
    addresses: ["192.168.0.1", "203.0.113.1"].map(parseAddress),
    externalAddresses: [parseAddress("203.0.113.1")],
    families: [4],
    labels: ["edge=yes"],
  } as const;
  const direct = (yaml: string, forwarding: "snat" | "dsr" | "hybrid" = "snat") =>
    frontendsOf(toService(parse(yaml))!, [], { ...here, forwarding })
      .filter(({ dsr }) => dsr)
      .map(({ type, address }) => `${type} ${address}`);
  const all = ["LoadBalancer 198.51.100.1", "NodePort 192.168.0.1"];
  assert.deepEqual(direct(of("forwarding-mode", "dsr")), all);
  assert.deepEqual(direct(annotated(""), "dsr"), all);
  assert.deepEqual(direct(annotated(""), "hybrid"), all, "TCP");
  assert.deepEqual(
    direct(annotated("").replace("{ name: http", "{ protocol: UDP, name: http"), "hybrid"),
    [],
  );
  assert.deepEqual(direct(of("forwarding-mode", "snat"), "dsr"), []);
  assert.deepEqual(direct(of("node-selector", "edge=yes"), "dsr"), [], "other nodes may not serve it");
});
