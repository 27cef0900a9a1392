// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { room, service, slice, web } from "#kit/service-room.ts";
import { parseAddress } from "#model/ip.ts";
import type { HostPort } from "#services/table.ts";

test("a load balancer without node ports (allocateLoadBalancerNodePorts: false) has its addresses alone; with them again, these too", async () => {
  await using r = await room();
  r.sync();
  r.put(slice(["10.0.0.1"]));
  const yaml = (port: string) => `
kind: Service
metadata: { namespace: shop, name: web }
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.14
  allocateLoadBalancerNodePorts: false
  ports: [{ name: http, port: 80${port} }]
status: { loadBalancer: { ingress: [{ ip: 198.51.100.1 }] } }
`;
  const addresses = async (port: string) => (await r.apply(yaml(port))).map((line) => line.split(" ")[0]);
  const alone = ["10.96.0.14:80/TCP", "198.51.100.1:80/TCP"];
  assert.deepEqual(await addresses(""), alone);
  const nodePorts = ["127.0.0.1:30080/TCP", "192.168.0.1:30080/TCP"];
  assert.deepEqual(await addresses(", nodePort: 30080"), [...alone, ...nodePorts].sort());
  assert.deepEqual(await addresses(""), alone);
});

test("externalTrafficPolicy Local: who comes from outside meets the node's own pods, everybody else all", async () => {
  await using r = await room();
  r.sync();
  const local = `
kind: Service
metadata: { namespace: shop, name: web }
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.14
  externalTrafficPolicy: Local
  healthCheckNodePort: 32000
  ports: [{ name: http, port: 80, nodePort: 30080 }]
status: { loadBalancer: { ingress: [{ ip: 198.51.100.1 }] } }
`;
  r.put(local);
  const [near, far] = ["10.0.0.1:8080/TCP", "10.0.1.1:8080/TCP"];
  assert.deepEqual(await r.apply(slice(["10.0.0.1 node=n1", "10.0.1.1 node=n2"])), [
    `10.96.0.14:80/TCP id=1 flags=4 -> ${near} ${far}`,
    `127.0.0.1:30080/TCP id=6 flags=32 -> ${near} ${far}`,
    `192.168.0.1:30080/TCP id=5 flags=17 -> ${near} ${far}`,
    `192.168.0.1:30080/TCP/local id=4 flags=1 -> ${near}`,
    `198.51.100.1:80/TCP id=3 flags=18 -> ${near} ${far}`,
    `198.51.100.1:80/TCP/local id=2 flags=2 -> ${near}`,
  ]);
  const check = { namespace: "shop", name: "web", port: 32_000, localEndpoints: 1 };
  assert.deepEqual([...r.healthChecks.all()], [check]);

  const of = async (lines: Promise<string[]>) => (await lines).filter((line) => line.includes("/local"));
  const slices = (own: string) => of(r.apply(slice([own, "10.0.1.1 node=n2"])));
  // The last pod here ends: it serves to its end, load balancers are told to look elsewhere.
  assert.deepEqual(await slices("10.0.0.1 node=n1 ready=false serving=true terminating=true"), [
    `192.168.0.1:30080/TCP/local id=4 flags=1 -> ${near}!`,
    `198.51.100.1:80/TCP/local id=2 flags=2 -> ${near}!`,
  ]);
  assert.deepEqual([...r.healthChecks.all()], [{ ...check, localEndpoints: 0 }]);
  // None here, but elsewhere: silent.
  assert.deepEqual(await of(r.apply(slice(["10.0.1.1 node=n2"]))), [
    "192.168.0.1:30080/TCP/local id=4 flags=65 -> ",
    "198.51.100.1:80/TCP/local id=2 flags=66 -> ",
  ]);
  // None anywhere: refused.
  assert.deepEqual(await of(r.apply(slice([]))), [
    "192.168.0.1:30080/TCP/local id=4 flags=1 -> ",
    "198.51.100.1:80/TCP/local id=2 flags=2 -> ",
  ]);
  await r.apply(slice(["10.0.0.1 node=n1"]));
  const cluster = local.replace("externalTrafficPolicy: Local", "externalTrafficPolicy: Cluster");
  assert.deepEqual(await of(r.apply(cluster)), []);
  assert.equal(r.frontends.get("192.168.0.1:30080/TCP")?.localOutside, undefined);
  assert.deepEqual([...r.healthChecks.all()], []);
});

test("loadBalancerSourceRanges: kept with the load balancer's addresses, and followed", async () => {
  await using r = await room();
  r.sync();
  const ranged = (ranges: string) => `
kind: Service
metadata: { namespace: shop, name: web }
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.15
  loadBalancerSourceRanges: ${ranges}
  ports: [{ name: http, port: 80 }]
status: { loadBalancer: { ingress: [{ ip: 198.51.100.1 }] } }
`;
  r.put(slice(["10.0.0.1"]));
  const served = async (ranges: string) => (await r.apply(ranged(ranges)))[1];
  const to = "-> 10.0.0.1:8080/TCP";
  assert.equal(
    await served('[192.0.2.0/24, "2001:db8::/32", 10.0.0.0/8]'),
    `198.51.100.1:80/TCP id=2 flags=130 from=10.0.0.0/8,192.0.2.0/24 ${to}`,
  );
  assert.equal(await served("[192.0.2.0/25]"), `198.51.100.1:80/TCP id=2 flags=130 from=192.0.2.0/25 ${to}`);
  assert.equal(await served("[]"), `198.51.100.1:80/TCP id=2 flags=2 ${to}`);
  await served("[192.0.2.0/24]");
  assert.deepEqual(await r.remove(ranged("[]")), []);
});

test("hints: those for the node, else those for its zone, else all", async () => {
  await using r = await room();
  r.sync();
  r.setNode("192.168.0.1");
  r.put(web);
  const hinted = (...lines: string[]) => `
addressType: IPv4
kind: EndpointSlice
metadata: { namespace: shop, name: web-1, labels: { kubernetes.io/service-name: web } }
ports: [{ name: http, port: 8080 }]
endpoints:
${lines.map((line, at) => `- { addresses: [10.0.0.${at + 1}], hints: { ${line} } }`).join("\n")}
`;
  const served = async (...lines: string[]) => {
    await r.apply(hinted(...lines));
    return r.frontends
      .get("10.96.0.10:80/TCP")
      ?.backends.map(({ address }) => address.at(-1))
      .join("");
  };
  const [z1, z2] = ["forZones: [{ name: z1 }]", "forZones: [{ name: z2 }]"];
  assert.equal(await served(z1, z2), "1");
  assert.equal(await served(z2, z2), "12", "no endpoint is for this zone");
  assert.equal(await served(z1, z2, ""), "123", "an endpoint without hint");
  assert.equal(await served(`${z1}, forNodes: [{ name: n1 }]`, `${z1}, forNodes: [{ name: n2 }]`), "1");
  assert.equal(await served(`${z1}, forNodes: [{ name: n3 }]`, `${z2}, forNodes: [{ name: n2 }]`), "1");
});

test("hostPort: on every address or on one, loopback for the node alone; a Service's claim goes first", async () => {
  await using r = await room();
  r.sync();
  r.setNode("192.168.0.1", "fd01::1");
  const row = (pod: string, fields: Partial<HostPort> = {}): HostPort => ({
    namespace: "shop",
    pod,
    proto: 6,
    port: 8000,
    targetPort: 80,
    targets: [parseAddress("10.0.0.1"), parseAddress("fd00::1")],
    ...fields,
  });
  r.setHostPort(row("a"));
  assert.deepEqual(await r.settle(), [
    "127.0.0.1:8000/TCP id=3 flags=32 -> 10.0.0.1:80/TCP",
    "192.168.0.1:8000/TCP id=1 flags=1 -> 10.0.0.1:80/TCP",
    "[::1]:8000/TCP id=4 flags=32 -> [fd00::1]:80/TCP",
    "[fd01::1]:8000/TCP id=2 flags=1 -> [fd00::1]:80/TCP",
  ]);
  r.setHostPort(row("b", { port: 8001, hostIp: parseAddress("127.0.0.1") }));
  r.setHostPort(row("c", { port: 8001, hostIp: parseAddress("192.168.0.1"), proto: 17 }));
  r.setHostPort(row("d", { port: 8002, hostIp: parseAddress("0.0.0.0") }));
  r.setHostPort(row("e", { port: 8003, proto: 132, problem: "protocol SCTP is not supported" }));
  const others = (await r.settle()).filter((line) => !line.includes(":8000/"));
  assert.deepEqual(others, [
    "127.0.0.1:8001/TCP id=5 flags=32 -> 10.0.0.1:80/TCP",
    "127.0.0.1:8002/TCP id=8 flags=32 -> 10.0.0.1:80/TCP",
    "192.168.0.1:8001/UDP id=6 flags=1 -> 10.0.0.1:80/UDP",
    "192.168.0.1:8002/TCP id=7 flags=1 -> 10.0.0.1:80/TCP",
  ]);
  await r.apply(service("{ clusterIP: 10.96.0.9, ports: [{ name: http, port: 80, nodePort: 8002 }] }"));
  assert.equal(r.frontends.get("192.168.0.1:8002/TCP")?.name, "web");
});
