// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseManifest } from "#k8s/manifest.ts";
import { parseAddress } from "#model/ip.ts";
import { parsePort } from "#model/port.ts";
import { ask } from "./ask.ts";
import { loadCluster, withPolicies } from "./cluster.ts";
import type { End } from "./end.ts";
import { findParties } from "./ends.ts";
import { explain } from "./explain.ts";
import { smallestChange } from "./fix.ts";
import { createJudge } from "./judge.ts";
import { truthTable } from "./matrix.ts";
import { type ClusterSettings, settingsOfAgents, usualFirewall } from "./settings.ts";

const node = (name: string, address: string, role: string) => `
apiVersion: v1
kind: Node
metadata: { name: ${name}, labels: { kubernetes.io/hostname: ${name}, role: ${role} } }
status: { addresses: [{ type: InternalIP, address: ${address} }, { type: Hostname, address: ${name} }] }
---`;
const pod = (name: string, on: string, address: string, more = "") => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { app: ${name} } }
spec: { nodeName: ${on}, ${more} containers: [{ name: main }] }
status: { podIPs: [{ ip: ${address} }] }
---`;
const manifests = `${node("n1", "192.0.2.1", "worker")}${node("n2", "192.0.2.2", "ingress")}
${pod("web", "n1", "10.0.1.5")}${pod("far", "n2", "10.0.2.5")}${pod("agent", "n1", "192.0.2.1", "hostNetwork: true,")}
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: { name: workers }
spec:
  nodeSelector: { matchLabels: { role: worker } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: web, io.kubernetes.pod.namespace: shop } }]
      toPorts: [{ ports: [{ port: "9100", protocol: TCP }] }]
    - fromNodes: [{ matchLabels: { role: ingress } }]
  egress:
    - toCIDR: [203.0.113.0/24]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: web } }
  ingress:
    - fromNodes: [{ matchLabels: { role: ingress } }]
`;

const firewall: Partial<ClusterSettings> = { hostFirewall: { ...usualFirewall, ports: [22], cidrs: [] } };

function world(settings = firewall) {
  const cluster = loadCluster(parseManifest("all.yaml", manifests), settings);
  const judge = createJudge(cluster);
  const end = (text: string) => findParties(cluster, text, "shop")[0] as End;
  const path = (from: string, to: string, port: string) => judge.judge(end(from), end(to), parsePort(port));
  const say = (from: string, to: string, port: string) => {
    const { egress, ingress } = path(from, to, port);
    return [egress, ingress].map(({ verdict, reason }) => `${verdict} ${reason}`).join(", ");
  };
  return { cluster, judge, end, path, say };
}

test("a node is judged by its own policies, and by nobody else's", () => {
  const { say } = world();
  assert.equal(say("web", "node:n1", "9100"), "allow no-policy, allow rule");
  assert.equal(say("web", "192.0.2.1", "9101"), "allow no-policy, deny default-deny");
  assert.equal(say("far", "node:n1", "9100"), "allow no-policy, deny default-deny");
  assert.equal(say("far", "shop/agent", "9100"), "allow no-policy, deny default-deny");
  assert.equal(say("node:n2", "node:n1", "80"), "allow no-policy, allow rule");
  assert.equal(say("203.0.113.9", "node:n2", "80"), "allow no-endpoint, allow no-policy");
  assert.equal(say("node:n1", "203.0.113.9", "443"), "allow rule, allow no-endpoint");
  assert.equal(say("node:n1", "198.51.100.9", "443"), "deny default-deny, allow no-endpoint");
  assert.equal(say("node:n1", "far", "80"), "deny default-deny, allow no-policy");
});

test("what a node sends its own pods is judged by them, what it sends itself by nobody", () => {
  const { say } = world();
  assert.equal(say("node:n1", "web", "80"), "allow own-node, allow rule");
  assert.equal(say("shop/agent", "web", "80"), "allow own-node, allow rule");
  assert.equal(say("node:n1", "192.0.2.1", "80"), "allow itself, allow itself");
  assert.equal(say("host", "web", "80"), "allow own-node, allow rule");
});

test("nodes are peers by their labels, and hosts of their own pods whatever they say", () => {
  const { say, judge, end } = world();
  assert.equal(say("node:n2", "web", "80"), "allow no-policy, allow rule");
  assert.equal(judge.identityOf(end("node:n1"), end("web")) & 0xff00_0000, 0x0200_0000);
  assert.equal(judge.identityOf(end("203.0.113.9"), end("node:n1")) >>> 24, 1);
});

test("never locked out is before all policies", () => {
  const { say } = world();
  assert.equal(say("198.51.100.9", "node:n1", "22"), "allow no-endpoint, allow rule");
  assert.equal(say("198.51.100.9", "node:n1", "6443"), "allow no-endpoint, allow rule");
  assert.equal(say("198.51.100.9", "node:n1", "23"), "allow no-endpoint, deny default-deny");
});

test("without the firewall policies about nodes are refused, and nodes open", () => {
  const { cluster, say } = world({});
  assert.match(cluster.policies[0]!.row.refused!.message, /hostFirewall\.enabled/);
  assert.equal(say("web", "node:n1", "9101"), "allow no-policy, allow no-endpoint");
});

test("modes: always isolates pods and no nodes, never frees both, audit tells and lets through", () => {
  const always = world({ ...firewall, enforcement: "always" });
  assert.equal(always.say("far", "203.0.113.9", "80"), "deny default-deny, allow no-endpoint");
  assert.equal(always.say("node:n2", "203.0.113.9", "80"), "allow no-policy, allow no-endpoint");
  const never = world({ ...firewall, enforcement: "never" });
  assert.equal(never.say("far", "node:n1", "9100"), "allow no-policy, allow no-policy");
  const audit = world({ ...firewall, audit: true });
  assert.equal(audit.say("far", "node:n1", "9100"), "allow no-policy, allow audit");
});

test("the change for a node is a policy about it, for a node as peer one about that node", () => {
  for (const [from, to, port] of [
    ["far", "node:n1", "9100"],
    ["node:n1", "far", "80"],
    ["node:n1", "node:n2", "80"],
    ["198.51.100.9", "node:n1", "443/UDP"],
  ] as const) {
    const { cluster, judge, path, end } = world();
    const denied = path(from, to, port);
    assert.equal(denied.verdict, "deny", `${from} ${to}`);
    const changes = smallestChange(judge, denied);
    assert.equal(changes[0]?.object.kind, "CiliumClusterwideNetworkPolicy");
    const after = createJudge(withPolicies(cluster, { put: changes }));
    assert.equal(after.judge(end(from), end(to), parsePort(port)).verdict, "allow", changes[0]?.yaml);
    assert.equal(after.judge(end(from), end(to), parsePort("1")).verdict, "deny", changes[0]?.yaml);
  }
});

test("nodes are in the table when asked for", () => {
  const { judge } = world();
  const options = { nodes: true, ports: [parsePort("9100")], externals: [parseAddress("203.0.113.9")] };
  const rows = truthTable(judge, options).map(({ row }) => row);
  const text = rows.map(({ from, to, verdict }) => `${from.pod || from.ip} ${to.pod || to.ip} ${verdict}`);
  for (const one of ["web 192.0.2.1 allow", "192.0.2.1 203.0.113.9 allow", "203.0.113.9 192.0.2.1 deny"])
    assert.ok(text.includes(one), one);
});

test("explanations name nodes, and say who is not judged", () => {
  const { judge, end } = world({});
  const asked = { from: end("web"), to: end("node:n1"), port: parsePort("80") };
  const { paths } = explain(judge, asked, ask(judge, asked.from, asked.to, asked.port));
  assert.match(paths[0]!.ingress.text, /node:n1 is a node, and the host firewall is off/);
});

test("settings of agents become those that verdicts depend on", () => {
  const settings = settingsOfAgents({
    clusterName: "east",
    identityLabels: { include: ["app"], exclude: [] },
    policy: { enforcement: "always", audit: true },
    hostFirewall: { enabled: true, neverLockOut: { apiServer: true, ports: [22], cidrs: [] } },
    apiServer: { host: "192.0.2.100", port: 8443 },
  });
  assert.deepEqual(settings.hostFirewall, {
    ports: [22],
    cidrs: [],
    apiServerPorts: [8443, 6443],
    apiServerAddress: "192.0.2.100",
  });
  assert.deepEqual(
    [settings.enforcement, settings.audit, settings.keepsLabel?.("tier")],
    ["always", true, false],
  );
});
