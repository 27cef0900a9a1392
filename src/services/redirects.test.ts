// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { parse } from "yaml";
import { idle } from "#kit/clock.ts";
import { room } from "#kit/service-room.ts";
import { createHealth } from "#lib/health.ts";
import { type Address, parseAddress } from "#model/ip.ts";
import { redirectPolicyRow, redirectPolicyTable } from "#services/redirect-policy.ts";
import { type RedirectPod, redirectOf, redirectTable, startRedirects } from "#services/redirects.ts";
import { tupleText } from "#services/service.ts";
import { toService } from "#services/source.ts";
import { type Service, serviceTable } from "#services/table.ts";
import { Database } from "#store/table.ts";

const dns: Service = toService(
  parse(`
metadata: {namespace: kube-system, name: kube-dns}
spec:
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "fd00:96::a"]
  ports:
    - {name: dns, port: 53, protocol: UDP}
    - {name: dns-tcp, port: 53, protocol: TCP}
    - {name: metrics, port: 9153, protocol: TCP}
`),
)!;

const policy = (spec: string) =>
  redirectPolicyRow({
    metadata: { namespace: "kube-system", name: "nodelocaldns" },
    spec: parse(spec),
  } as object);

const nodeLocalDns = policy(`
redirectFrontend:
  serviceMatcher: {serviceName: kube-dns, namespace: kube-system}
redirectBackend:
  localEndpointSelector: {matchLabels: {k8s-app: node-local-dns}}
  toPorts:
    - {port: "53", name: dns, protocol: UDP}
    - {port: "5353", name: dns-tcp, protocol: TCP}
`);

const pods = ["10.0.1.5", "fd00:1::5"].map(parseAddress);
const show = (row: ReturnType<typeof redirectOf>) =>
  row.frontends.map((frontend) => `${tupleText(frontend)} ${frontend.backends.map(tupleText).join(" ")}`);

test("a Service's ports go to the ports of the same name of the node's own pods, family by family", () => {
  const row = redirectOf(nodeLocalDns, { service: dns, pods, nodeName: "n1" });
  assert.deepEqual(show(row), [
    "10.96.0.10:53/UDP 10.0.1.5:53/UDP",
    "10.96.0.10:53/TCP 10.0.1.5:5353/TCP",
    "[fd00:96::a]:53/UDP [fd00:1::5]:53/UDP",
    "[fd00:96::a]:53/TCP [fd00:1::5]:5353/TCP",
  ]);
  assert.deepEqual(
    row.frontends.map(({ namespace, name, type, portName }) => `${type} ${namespace}/${name} ${portName}`)[0],
    "LocalRedirect kube-system/kube-dns dns",
  );
  assert.deepEqual(show(redirectOf(nodeLocalDns, { service: dns, pods: pods.slice(0, 1) })).length, 2);
});

test("a Service's ports may be named, by number; one target takes them all", () => {
  const only = policy(`
redirectFrontend:
  serviceMatcher:
    serviceName: kube-dns
    namespace: kube-system
    toPorts: [{port: "9153", protocol: TCP}]
redirectBackend:
  localEndpointSelector: {}
  toPorts: [{port: "8080", protocol: TCP}]
`);
  assert.deepEqual(show(redirectOf(only, { service: dns, pods: pods.slice(0, 1) })), [
    "10.96.0.10:9153/TCP 10.0.1.5:8080/TCP",
  ]);
});

test("an address and its ports", () => {
  const metadata = policy(`
redirectFrontend:
  addressMatcher:
    ip: 169.254.169.254
    toPorts: [{port: "80", protocol: TCP, name: web}, {port: "81", protocol: UDP, name: log}]
redirectBackend:
  localEndpointSelector: {matchLabels: {app: proxy}}
  toPorts: [{port: "8181", protocol: UDP, name: log}, {port: "8080", protocol: TCP, name: web}]
`);
  assert.deepEqual(show(redirectOf(metadata, { service: undefined, pods })), [
    "169.254.169.254:80/TCP 10.0.1.5:8080/TCP",
    "169.254.169.254:81/UDP 10.0.1.5:8181/UDP",
  ]);
});

test("without a pod or a Service nothing is redirected, and why is said", () => {
  const said = (service: Service | undefined, at: readonly Address[]) => {
    const { frontends, problem } = redirectOf(nodeLocalDns, { service, pods: at });
    assert.deepEqual(frontends, []);
    return problem;
  };
  assert.match(said(dns, [])!, /no pod of this node/);
  assert.match(said(undefined, pods)!, /no Service kube-dns/);
  assert.match(said({ ...dns, clusterIps: [] }, pods)!, /no Service kube-dns/);
  assert.match(said({ ...dns, ports: [] }, pods)!, /none of its ports/);
});

test("what is wrong is said with its place", () => {
  const good = () => ({
    redirectFrontend: {
      addressMatcher: { ip: "169.254.169.254", toPorts: [{ port: "80", protocol: "TCP" }] },
    } as Record<string, unknown>,
    redirectBackend: { localEndpointSelector: {}, toPorts: [{ port: "80", protocol: "TCP" } as object] },
  });
  const of = (change: (spec: ReturnType<typeof good> & Record<string, unknown>) => void) => {
    const spec = good();
    change(spec);
    return redirectPolicyRow({ metadata: { namespace: "shop", name: "x" }, spec } as object);
  };
  assert.ok(of(() => {}));
  const tcp = (port: string, name?: string) => ({ port, protocol: "TCP", ...(name && { name }) });
  const service = (more: object) => ({ serviceMatcher: { serviceName: "a", namespace: "shop", ...more } });
  const broken: [Parameters<typeof of>[0], RegExp][] = [
    [(spec) => (spec.redirectFrontend = {}), /needs one of addressMatcher and serviceMatcher/],
    [(spec) => Object.assign(spec.redirectFrontend, service({})), /needs one of/],
    [
      (spec) => (spec.redirectFrontend = service({ namespace: "other" })),
      /namespace: is not the policy's own/,
    ],
    [(spec) => (spec.redirectBackend.toPorts = [tcp("80"), tcp("81")]), /toPorts\[0\]\.name: is required/],
    [(spec) => (spec.redirectBackend.toPorts = [tcp("80", "a"), tcp("81", "a")]), /"a" is there twice/],
    [(spec) => (spec.redirectBackend.toPorts = [tcp("0")]), /"0" is not a port/],
    [(spec) => (spec.redirectBackend.toPorts = [tcp("70000")]), /"70000" is not a port/],
    [(spec) => (spec.redirectBackend.toPorts = [{ port: "80", protocol: "UDP" }]), /has no counterpart/],
    [(spec) => (spec.redirectBackend.toPorts = []), /toPorts/],
    [(spec) => (spec["ports"] = []), /spec\.ports: unknown field/],
  ];
  for (const [change, said] of broken) assert.throws(() => of(change), said);
  assert.equal(of((spec) => (spec["skipRedirectFromBackend"] = false)).name, "x");
});

/** With its backend on another node. */
const kubeDns = `
kind: Service
metadata: {namespace: kube-system, name: kube-dns}
spec: {clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10], ports: [{name: dns, port: 53, protocol: UDP}]}
---
kind: EndpointSlice
metadata: {namespace: kube-system, name: kube-dns-1, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
ports: [{name: dns, port: 53, protocol: UDP}]
endpoints: [{addresses: [10.0.2.9], conditions: {ready: true}}]
`;

test("a redirect goes before its Service and gives the address back; a foreign address stays the Service's", async () => {
  await using at = await room();
  at.sync();
  await at.apply(kubeDns);
  const backends = () => at.frontends.get("10.96.0.10:53/UDP")?.backends.map(({ address }) => address);
  assert.deepEqual(backends(), ["10.0.2.9"]);
  const row = redirectOf(nodeLocalDns, { service: dns, pods });
  at.setRedirect(row);
  await at.settle();
  assert.deepEqual(backends(), ["10.0.1.5"]);
  at.setRedirect({ ...row, createdMs: row.createdMs + 1, frontends: [] });
  await at.settle();
  assert.deepEqual(backends(), ["10.0.2.9"]);
  at.setRedirect({ ...row, ofService: false });
  await at.settle();
  assert.deepEqual(backends(), ["10.0.2.9"]);
});

test("with skipRedirectFromBackend its pods, ready or not, meet the Service itself", async () => {
  await using at = await room();
  at.sync();
  await at.apply(kubeDns);
  const selected = [...pods, parseAddress("10.0.1.6")];
  const row = redirectOf({ ...nodeLocalDns, skipOwn: true }, { service: dns, pods, selected });
  const passed = row.frontends.map(({ sourceRanges, denyRanges, passDenied }) => {
    assert.ok(denyRanges && passDenied);
    return sourceRanges?.join(" ");
  });
  assert.deepEqual([...new Set(passed)], ["10.0.1.5/32 10.0.1.6/32", "fd00:1::5/128"]);
  const backends = (key: string) => at.frontends.get(key)?.backends.map(({ address }) => address);
  const both = () => [backends("10.96.0.10:53/UDP"), backends("10.96.0.10:53/UDP/local")];
  at.setRedirect(row);
  await at.settle();
  assert.deepEqual(both(), [["10.0.1.5"], ["10.0.2.9"]]);
  at.setRedirect({ ...row, createdMs: row.createdMs + 1, frontends: [] });
  await at.settle();
  assert.deepEqual(both(), [["10.0.2.9"], undefined]);
});

test("follows policies, Services and the ready pods of the node", async () => {
  const db = new Database();
  const policies = redirectPolicyTable(db);
  const services = serviceTable(db);
  const local = db.table<RedirectPod>({
    name: "pods",
    key: (row) => `${row.namespace}/${row.name}`,
    columns: [],
  });
  const endpoints = db.table<{ namespace: string; pod: string; v4?: Address }>({
    name: "endpoints",
    key: ({ v4 }) => String(v4),
    indexes: { pod: (row) => [`${row.namespace}/${row.pod}`] },
    columns: [],
  });
  const redirects = redirectTable(db);
  const sources = [policies, services, local, endpoints].map((table) => table.source("t"));
  const stop = new AbortController();
  const common = { db, health: createHealth(), log: pino({ level: "silent" }) };
  await using _ = startRedirects(
    { ...common, policies, services, pods: local, endpoints, redirects, nodeName: "n1" },
    stop.signal,
  );
  const pod: RedirectPod = {
    namespace: "kube-system",
    name: "dns-1",
    labels: { "k8s-app": "node-local-dns" },
    ready: true,
  };
  const found = async () => {
    await idle();
    const [row] = [...redirects.all()];
    return row?.problem ?? row?.frontends[0]?.backends.map(({ address }) => address).join();
  };
  for (const source of sources) source.synced();
  assert.equal(await found(), undefined);
  db.write((tx) => {
    tx.put(policies, nodeLocalDns);
    tx.put(services, dns);
    tx.put(endpoints, { namespace: "kube-system", pod: "dns-1", v4: parseAddress("10.0.1.5") });
  });
  assert.match((await found())!, /no pod/);
  db.write((tx) => tx.put(local, pod));
  assert.equal(await found(), "10.0.1.5");
  const { ready: __, ...notReady } = pod;
  db.write((tx) => tx.put(local, notReady));
  assert.match((await found())!, /no pod/, "not ready any more");
  db.write((tx) => tx.put(local, { ...pod, namespace: "other" }));
  assert.match((await found())!, /no pod/, "of another namespace");
  db.write((tx) => tx.delete(policies, policies.keyOf(nodeLocalDns)));
  assert.equal(await found(), undefined);
  assert.equal(redirects.size, 0);
});
