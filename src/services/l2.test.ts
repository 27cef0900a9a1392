// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "#model/ip.ts";
import { announcements, solicitedNodeGroup } from "./l2-frames.ts";
import { type L2Node, type L2PolicyObject, l2Candidates, l2PolicyRow, leaseName } from "./l2-policy.ts";
import { toService } from "./source.ts";

const policy = (name: string, spec: L2PolicyObject["spec"]) =>
  l2PolicyRow({ metadata: { name }, ...(spec && { spec }) });

function service(name: string, { labels = {}, ip = "192.0.2.1", spec = {} } = {}) {
  const object = {
    metadata: { namespace: "shop", name, labels },
    spec: { type: "LoadBalancer", clusterIPs: ["10.96.0.1"], ports: [{ port: 80 }], ...spec },
    status: { loadBalancer: { ingress: [{ ip }] } },
  };
  return toService(object as never)!;
}

const node: L2Node = {
  labels: { rack: "one" },
  devices: ["eth0", "eth1", "wlan0"],
  hasBackend: (key) => key === "shop/here",
};
/** `service address@device,…` */
const shown = (services: ReturnType<typeof service>[], ...policies: ReturnType<typeof policy>[]) =>
  l2Candidates(services, policies, node).map(
    ({ service: key, address, devices }) => `${key} ${address}@${devices.join()}`,
  );

test("a policy announces what it names: kinds of addresses, devices, services, nodes", () => {
  const web = service("web", { labels: { app: "web" }, spec: { externalIPs: ["198.51.100.1"] } });
  const db = service("db", { ip: "2001:db8::5" });
  assert.deepEqual(shown([web], policy("nothing", {})), []);
  const both = { loadBalancerIPs: true, externalIPs: true, interfaces: ["^eth0$"] };
  assert.deepEqual(shown([web], policy("a", both)), [
    "shop/web 198.51.100.1@eth0",
    "shop/web 192.0.2.1@eth0",
  ]);
  const all = { loadBalancerIPs: true };
  assert.deepEqual(shown([db], policy("a", all)), ["shop/db 2001:db8::5@eth0,eth1,wlan0"]);
  const eth = { ...all, interfaces: ["eth", "wl.*1"] };
  const byLabel = policy("a", { ...eth, serviceSelector: { matchLabels: { app: "web" } } });
  assert.deepEqual(shown([web, db], byLabel), ["shop/web 192.0.2.1@eth0,eth1"]);
  const byName = policy("b", {
    ...all,
    interfaces: ["wlan0", "eth1"],
    serviceSelector: { matchLabels: { "io.kubernetes.service.name": "web" } },
  });
  assert.deepEqual(shown([web, db], byLabel, byName), ["shop/web 192.0.2.1@eth0,eth1,wlan0"]);
  const rack = (values: string[]) => ({
    matchExpressions: [{ key: "rack", operator: "In" as const, values }],
  });
  assert.deepEqual(shown([db], policy("a", { ...eth, nodeSelector: rack(["two"]) })), []);
  assert.equal(shown([db], policy("a", { ...eth, nodeSelector: rack(["one"]) })).length, 1);
});

test("leases are named after addresses, as Kubernetes' names have to be", () => {
  assert.equal(leaseName(parseAddress("192.0.2.1")), "cilium-l2announce-192.0.2.1");
  assert.equal(leaseName(parseAddress("2001:db8::")), "cilium-l2announce-2001-db8-0-0-0-0-0-0");
});

test("an address that services share is announced once", () => {
  const all = policy("a", { loadBalancerIPs: true, interfaces: ["eth0"] });
  assert.deepEqual(shown([service("b"), service("a"), service("c", { ip: "192.0.2.9" })], all), [
    "shop/a 192.0.2.1@eth0",
    "shop/c 192.0.2.9@eth0",
  ]);
});

test("classes, Local without a backend here, and a policy that cannot be read", () => {
  const all = policy("a", { loadBalancerIPs: true, interfaces: ["eth0"] });
  const of = (loadBalancerClass: string) => service("x", { spec: { loadBalancerClass } });
  assert.deepEqual(shown([of("io.cilium/l2-announcer")], all), ["shop/x 192.0.2.1@eth0"]);
  assert.deepEqual(shown([of("io.cilium/bgp-control-plane"), of("example.org/other")], all), []);
  const local = { spec: { externalTrafficPolicy: "Local" } };
  assert.deepEqual(shown([service("here", local), service("elsewhere", local)], all), [
    "shop/here 192.0.2.1@eth0",
  ]);
  const broken = policy("b", { loadBalancerIPs: true, interfaces: ["eth0", "eth["] });
  assert.match(broken.problem ?? "", /spec\.interfaces\[1\]: "eth\[" is not a regular expression/);
  assert.deepEqual(shown([service("here")], broken), []);
});

test("announcements: whom they go to, and whose address they are about", () => {
  const mac = "02:00:00:00:00:07";
  const v4 = announcements(parseAddress("192.0.2.1"), mac).map((frame) => Buffer.from(frame).toString("hex"));
  const own = "020000000007c0000201";
  assert.deepEqual(v4, [
    `ffffffffffff0200000000070806000108000604${"0001"}${own}000000000000c0000201`,
    `ffffffffffff0200000000070806000108000604${"0002"}${own}${own}`,
  ]);
  const [v6] = announcements(parseAddress("2001:db8::5"), mac);
  assert.equal(v6?.length, 86);
  assert.equal(Buffer.from(v6!.subarray(0, 14)).toString("hex"), "33330000000102000000000786dd");
  assert.equal(solicitedNodeGroup(parseAddress("2001:db8::abcd:ef01")), "ff02::1:ffcd:ef01");
});
