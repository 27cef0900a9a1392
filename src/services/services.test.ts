// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryServiceMaps } from "#kit/service-maps.ts";
import { room, service, slice, web } from "#kit/service-room.ts";

test("a Service and its endpoints become map entries, in whatever order they come", async () => {
  const expected = ["10.96.0.10:80/TCP id=1 flags=4 -> 10.0.0.1:8080/TCP 10.0.0.2:8080/TCP"];
  for (const order of [
    [web, slice(["10.0.0.1", "10.0.0.2"])],
    [slice(["10.0.0.1", "10.0.0.2"]), web],
  ]) {
    await using r = await room();
    r.sync();
    await r.apply(order[0]!);
    assert.deepEqual(await r.apply(order[1]!), expected);
    assert.deepEqual(
      [...r.frontendIds.all()],
      [{ id: 1, frontend: "10.96.0.10:80/TCP", namespace: "shop", name: "web", portName: "http" }],
    );
    assert.deepEqual(await r.remove(web), []);
    assert.equal(r.frontendIds.size, 0);
  }
});

test("nothing is written before Services, EndpointSlices and Nodes are known", async () => {
  await using r = await room();
  assert.deepEqual(await r.apply(web), []);
  assert.deepEqual(await r.apply(slice(["10.0.0.1"])), []);
  r.sync();
  assert.deepEqual(await r.settle(), ["10.96.0.10:80/TCP id=1 flags=4 -> 10.0.0.1:8080/TCP"]);
});

test("scaling to 3, 0 and 1: slots stay where they are, and no more is written than has changed", async () => {
  await using r = await room();
  r.sync();
  r.put(web);
  await r.apply(slice(["10.0.0.1", "10.0.0.2", "10.0.0.3"]));
  r.maps.takeWrites();
  assert.deepEqual(await r.apply(slice(["10.0.0.2", "10.0.0.3"])), [
    "10.96.0.10:80/TCP id=1 flags=4 -> 10.0.0.3:8080/TCP 10.0.0.2:8080/TCP",
  ]);
  assert.equal(r.maps.takeWrites(), 4, "slot 1, the count, slot 3 gone, backend gone");
  assert.deepEqual(await r.apply(slice([])), ["10.96.0.10:80/TCP id=1 flags=4 -> "]);
  r.maps.takeWrites();
  assert.deepEqual(await r.apply(slice(["10.0.0.9"])), [
    "10.96.0.10:80/TCP id=1 flags=4 -> 10.0.0.9:8080/TCP",
  ]);
  assert.equal(r.maps.takeWrites(), 3, "backend, slot, count");
  r.put(web);
  await r.apply(slice(["10.0.0.9"]));
  assert.equal(r.maps.takeWrites(), 0, "the same again");
});

test("a restart adopts numbers and slots and writes nothing", async () => {
  const maps = memoryServiceMaps();
  const objects = `${web}---${slice(["10.0.0.3", "10.0.0.2", "10.0.0.4 ready=false terminating=true"])}`;
  let before: string[];
  {
    await using r = await room(maps);
    r.sync();
    r.put(web);
    await r.apply(slice(["10.0.0.1", "10.0.0.2", "10.0.0.3"]));
    before = await r.apply(objects);
  }
  maps.takeWrites();
  await using r = await room(maps);
  assert.deepEqual(await r.apply(objects), before);
  r.sync();
  assert.deepEqual(await r.settle(), before);
  assert.equal(maps.takeWrites(), 0);
  assert.equal([...r.frontendIds.all()][0]?.name, "web");
  assert.deepEqual(await r.apply(slice(["10.0.0.5"])), [
    "10.96.0.10:80/TCP id=1 flags=4 -> 10.0.0.5:8080/TCP",
  ]);
});

test("what vanished while the agent was away is pruned, but only once all is known", async () => {
  const maps = memoryServiceMaps();
  {
    await using r = await room(maps);
    r.sync();
    r.put(web);
    await r.apply(slice(["10.0.0.1"]));
  }
  await using r = await room(maps);
  assert.equal((await r.settle()).length, 1);
  r.sync();
  assert.deepEqual(await r.settle(), []);
});

test("a backend that terminates keeps its connections; when none is ready it serves on (KEP-1669)", async () => {
  await using r = await room();
  r.sync();
  r.put(web);
  await r.apply(slice(["10.0.0.1", "10.0.0.2"]));
  const leaving = "10.0.0.1 ready=false serving=true terminating=true";
  assert.deepEqual(await r.apply(slice([leaving, "10.0.0.2"])), [
    "10.96.0.10:80/TCP id=1 flags=4 -> 10.0.0.2:8080/TCP | 10.0.0.1:8080/TCP!",
  ]);
  assert.deepEqual(await r.apply(slice([leaving, "10.0.0.2 ready=false serving=false"])), [
    "10.96.0.10:80/TCP id=1 flags=4 -> 10.0.0.1:8080/TCP! | 10.0.0.2:8080/TCP",
  ]);
  assert.deepEqual(await r.apply(slice(["10.0.0.3"])), [
    "10.96.0.10:80/TCP id=1 flags=4 -> 10.0.0.3:8080/TCP",
  ]);
});

test("dual stack, node ports, external and load-balancer addresses, UDP", async () => {
  await using r = await room();
  r.sync();
  r.setNode("192.168.0.1", "fd01::1");
  r.put(`
kind: Service
metadata: { namespace: shop, name: web }
spec:
  type: LoadBalancer
  clusterIPs: [10.96.0.10, "fd96::10"]
  externalIPs: [203.0.113.7]
  ports: [{ name: dns, port: 53, protocol: UDP, nodePort: 30053 }]
status: { loadBalancer: { ingress: [{ ip: 198.51.100.1 }, { ip: 198.51.100.2, ipMode: Proxy }, { hostname: x }] } }
`);
  const ports = "[{ name: dns, port: 5353, protocol: UDP }]";
  r.put(slice(["10.0.0.1"], { ports }));
  assert.deepEqual(await r.apply(slice(["fd00::1"], { ports, name: "web-6", v6: true })), [
    "10.96.0.10:53/UDP id=1 flags=4 -> 10.0.0.1:5353/UDP",
    "127.0.0.1:30053/UDP id=7 flags=32 -> 10.0.0.1:5353/UDP",
    "192.168.0.1:30053/UDP id=5 flags=1 -> 10.0.0.1:5353/UDP",
    "198.51.100.1:53/UDP id=4 flags=2 -> 10.0.0.1:5353/UDP",
    "203.0.113.7:53/UDP id=3 flags=2 -> 10.0.0.1:5353/UDP",
    "[::1]:30053/UDP id=8 flags=32 -> [fd00::1]:5353/UDP",
    "[fd01::1]:30053/UDP id=6 flags=1 -> [fd00::1]:5353/UDP",
    "[fd96::10]:53/UDP id=2 flags=4 -> [fd00::1]:5353/UDP",
  ]);
  r.setNode("192.168.0.2");
  const ports30053 = (await r.settle()).filter(
    (line) => line.includes(":30053") && !line.includes("flags=32"),
  );
  assert.deepEqual(ports30053, ["192.168.0.2:30053/UDP id=9 flags=1 -> 10.0.0.1:5353/UDP"]);
});

test("headless and ExternalName Services have no frontends; not-ready ones can be published", async () => {
  await using r = await room();
  r.sync();
  r.put(service("{ clusterIP: None, ports: [{ name: http, port: 80 }] }", "headless"));
  r.put(service("{ type: ExternalName, externalName: example.org }", "elsewhere"));
  r.put(
    service(
      "{ clusterIP: 10.96.0.11, publishNotReadyAddresses: true, ports: [{ name: http, port: 80 }] }",
      "early",
    ),
  );
  assert.deepEqual(await r.apply(slice(["10.0.0.1 ready=false"], { service: "early" })), [
    "10.96.0.11:80/TCP id=1 flags=4 -> 10.0.0.1:8080/TCP",
  ]);
});

test("a port with SCTP is refused and said so, the others are served", async () => {
  await using r = await room();
  r.sync();
  const dump = await r.apply(
    service("{ clusterIP: 10.96.0.12, ports: [{ name: a, port: 1, protocol: SCTP }, { name: b, port: 2 }] }"),
  );
  assert.deepEqual(dump, ["10.96.0.12:2/TCP id=1 flags=4 -> "]);
  assert.deepEqual(r.services.get("shop/web")?.problems, ["port 1: protocol SCTP is not supported"]);
});

test("session affinity, and internalTrafficPolicy Local", async () => {
  await using r = await room();
  r.sync();
  r.put(
    service(
      "{ clusterIP: 10.96.0.13, internalTrafficPolicy: Local, sessionAffinity: ClientIP, ports: [{ name: http, port: 80 }] }",
    ),
  );
  assert.deepEqual(await r.apply(slice(["10.0.0.1 node=n1", "10.0.1.1 node=n2"])), [
    "10.96.0.13:80/TCP id=1 flags=12 -> 10.0.0.1:8080/TCP",
  ]);
  assert.equal([...r.maps.frontends.entries()][0]?.[1].affinitySec, 10_800);
});

test("two Services on one address: the first by name has it, and the other takes over when it goes", async () => {
  await using r = await room();
  r.sync();
  const claim = (name: string) =>
    service(
      `{ clusterIP: ${name === "a" ? "10.96.0.1" : "10.96.0.2"}, externalIPs: [203.0.113.9], ports: [{ name: http, port: 80 }] }`,
      name,
    );
  r.put(claim("b"));
  await r.apply(claim("a"));
  const owner = () => r.frontends.get("203.0.113.9:80/TCP")?.name;
  assert.equal(owner(), "a");
  await r.remove(claim("a"));
  assert.equal(owner(), "b");
});

test("an endpoint moves from slice to slice, a slice from service to service", async () => {
  await using r = await room();
  r.sync();
  r.put(web);
  r.put(service("{ clusterIP: 10.96.0.11, ports: [{ name: http, port: 80 }] }", "api"));
  r.put(slice(["10.0.0.1 ready=false"], { name: "old" }));
  const both = await r.apply(slice(["10.0.0.1"], { name: "new" }));
  assert.deepEqual(both[0], "10.96.0.10:80/TCP id=1 flags=4 -> 10.0.0.1:8080/TCP");
  await r.remove(slice(["10.0.0.1"], { name: "old" }));
  assert.deepEqual(await r.apply(slice(["10.0.0.1"], { name: "new", service: "api" })), [
    "10.96.0.10:80/TCP id=1 flags=4 -> ",
    "10.96.0.11:80/TCP id=2 flags=4 -> 10.0.0.1:8080/TCP",
  ]);
});

test("an endpoint change is in the maps within the same turns of the event loop, no timer involved", async () => {
  await using r = await room();
  r.sync();
  r.put(web);
  await r.apply(slice(["10.0.0.1"]));
  r.put(slice(["10.0.0.2"]));
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(r.maps.dump(), ["10.96.0.10:80/TCP id=1 flags=4 -> 10.0.0.2:8080/TCP"]);
});
