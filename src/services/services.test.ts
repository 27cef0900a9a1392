// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { parseAllDocuments } from "yaml";
import { idle } from "#kit/clock.ts";
import { memoryServiceMaps } from "#kit/service-maps.ts";
import { createHealth } from "#lib/health.ts";
import { parseAddress } from "#model/ip.ts";
import { nodeTable } from "#nodes/table.ts";
import { startServiceController } from "#services/controller.ts";
import { startServiceReconciler } from "#services/ops.ts";
import { toEndpointSlice, toService } from "#services/source.ts";
import {
  endpointSliceTable,
  frontendIdTable,
  frontendTable,
  type HostPort,
  healthCheckTable,
  hostPortTable,
  serviceTable,
} from "#services/table.ts";
import { Database } from "#store/table.ts";

/** The whole room from YAML to maps. `apply` and `remove` return the maps when all has settled. */
async function room(maps = memoryServiceMaps()) {
  const db = new Database();
  const services = serviceTable(db);
  const endpointSlices = endpointSliceTable(db);
  const nodes = nodeTable(db);
  const frontends = frontendTable(db);
  const frontendIds = frontendIdTable(db);
  const stop = new AbortController();
  const health = createHealth();
  const common = { db, frontends, health, log: pino({ level: "silent" }) };
  const hostPorts = hostPortTable(db);
  const healthChecks = healthCheckTable(db);
  const sources = [services, endpointSlices, nodes, hostPorts].map((table) => table.source("t"));
  const write = (yaml: string, gone: boolean) => {
    for (const document of parseAllDocuments(yaml)) {
      const object = document.toJS();
      db.write((tx) => {
        const put = <V>(table: Parameters<typeof tx.put<V>>[0], row: V | undefined) => {
          if (!row) return;
          if (gone) tx.delete(table, table.keyOf(row));
          else tx.put(table, row);
        };
        if (object.kind === "Service") put(services, toService(object));
        else put(endpointSlices, toEndpointSlice(object));
      });
    }
  };
  const settle = async () => {
    await idle();
    return maps.dump();
  };
  const setNode = (...addresses: string[]) =>
    db.write((tx) =>
      tx.put(nodes, {
        name: "n1",
        self: true,
        addresses: addresses.map(parseAddress),
        podCidrs: [],
        labels: new Map([["k8s:topology.kubernetes.io/zone", "z1"]]),
      }),
    );
  setNode("192.168.0.1");
  const stack = new AsyncDisposableStack();
  stack.use(
    startServiceController(
      { ...common, services, endpointSlices, nodes, hostPorts, healthChecks, families: [4, 6] },
      stop.signal,
    ),
  );
  stack.use(startServiceReconciler({ ...common, frontendIds, maps }, stop.signal));
  return {
    maps,
    frontends,
    frontendIds,
    services,
    healthChecks,
    setNode,
    setHostPort: (row: HostPort) => db.write((tx) => tx.put(hostPorts, row)),
    settle,
    health,
    sync: () => sources.map((source) => source.synced()),
    put: (yaml: string) => write(yaml, false),
    apply(yaml: string) {
      write(yaml, false);
      return settle();
    },
    remove(yaml: string) {
      write(yaml, true);
      return settle();
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const service = (spec: string, name = "web") => `
apiVersion: v1
kind: Service
metadata: { namespace: shop, name: ${name} }
spec: ${spec}
`;
const web = service("{ clusterIP: 10.96.0.10, ports: [{ name: http, port: 80, targetPort: www }] }");
/** `10.0.0.1`, `10.0.0.2 ready=false`, … */
const slice = (
  endpoints: string[],
  options: { name?: string; service?: string; ports?: string; v6?: boolean } = {},
) => `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
addressType: ${options.v6 ? "IPv6" : "IPv4"}
metadata: { namespace: shop, name: ${options.name ?? "web-1"}, labels: { kubernetes.io/service-name: ${options.service ?? "web"} } }
ports: ${options.ports ?? "[{ name: http, port: 8080 }]"}
endpoints:
${endpoints
  .map((text) => {
    const [address, ...conditions] = text.split(" ");
    const node = conditions.find((condition) => condition.startsWith("node="))?.slice(5);
    const list = conditions
      .filter((condition) => !condition.startsWith("node="))
      .map((condition) => condition.replace("=", ": "));
    return `- { addresses: ["${address}"], conditions: { ${list.join(", ")} }${node ? `, nodeName: ${node}` : ""} }`;
  })
  .join("\n")}
`;

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
