// SPDX-License-Identifier: Apache-2.0
// The test cluster itself, with a plain bridge as pod network and kube-proxy: what other tests rely on.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { listNetns } from "#kernel/netns.ts";
import { buildArtifacts } from "../build/build.ts";
import { agnhostImage } from "../build/images.ts";
import { type Cluster, downCluster, nodesReady, openCluster, upCluster } from "./cluster.ts";
import { deployDns, dnsReady } from "./coredns.ts";
import { firstProcess } from "./node.ts";
import { defaultOptions, layoutOf } from "./shape.ts";
import { until } from "./until.ts";

const name = "self";
let cluster: Cluster;

before(async () => {
  await downCluster(name);
  const options = { ...defaultOptions, name, cni: "bridge", proxy: "nftables" } as const;
  cluster = await upCluster(options, await buildArtifacts());
  await nodesReady(cluster);
});
after(() => downCluster(name));

const web = {
  apiVersion: "v1",
  kind: "List",
  items: [
    {
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      metadata: { name: "web" },
      spec: {
        selector: { matchLabels: { app: "web" } },
        template: {
          metadata: { labels: { app: "web" } },
          spec: {
            terminationGracePeriodSeconds: 0,
            containers: [
              {
                name: "web",
                image: agnhostImage,
                args: ["netexec", "--http-port=8080"],
                readinessProbe: { httpGet: { path: "/healthz", port: 8080 }, periodSeconds: 1 },
              },
            ],
          },
        },
      },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web" },
      spec: {
        type: "NodePort",
        selector: { app: "web" },
        ports: [{ port: 80, targetPort: 8080, nodePort: 30080 }],
      },
    },
  ],
};

test("pods on both nodes, a service by name, a node port from outside", async () => {
  await deployDns(cluster);
  await cluster.apply(web);
  await cluster.kubectl(["rollout", "status", "ds/web", "--timeout=90s"]);
  await dnsReady(cluster);
  const curl = ["curl", "-sS", "-m", "5", "http://web.default/hostname"];
  assert.match(await cluster.kubectl(["exec", "ds/web", "--", ...curl]), /^web-/);
  const outside = await cluster.outside(["curl", "-sS", "-m", "5", "http://10.240.0.11:30080/hostname"]);
  assert.match(outside.stdout, /^web-/, outside.stderr);
});

test("a command on a node runs in its namespaces and its cgroup", async () => {
  const { stdout } = await cluster.onNode("n2", [
    "sh",
    "-c",
    "hostname; ip -4 -br addr; cat /proc/self/cgroup",
  ]);
  assert.match(stdout, /^n2\n/);
  assert.match(stdout, /10\.240\.0\.12/);
  assert.match(stdout, /^0::\/$/m);
});

test("the machine keeps its own mounts and settings", async () => {
  assert.doesNotMatch(readFileSync("/proc/mounts", "utf8"), new RegExp(`clusters/${name}`));
  assert.deepEqual(
    (await cluster.onNode("n1", ["ls", "/var/lib"])).stdout.trim().split("\n").sort(),
    readdirSync(`${cluster.layout.nodeDir("n1")}/var-lib`).sort(),
  );
});

test("a node that is pulled is lost, and comes back with its pods", async () => {
  await cluster.pull("n2");
  await assert.rejects(cluster.onNode("n2", ["true"]), { code: "E_NODE_DOWN" });
  await cluster.kubectl(["wait", "--for=condition=Ready=Unknown", "node/n2", "--timeout=60s"]);
  await cluster.start("n2");
  await cluster.kubectl(["wait", "--for=condition=Ready", "node/n2", "--timeout=60s"]);
  await until("both pods to be ready", 60_000, async () => {
    const path = "jsonpath={.status.numberReady}";
    return (await cluster.kubectl(["get", "ds/web", "-o", path])) === "2";
  });
});

test("API server and etcd stop and start", async () => {
  await cluster.stopComponent("kube-apiserver");
  await assert.rejects(cluster.kubectl(["get", "nodes"], { timeoutMs: 20_000 }));
  await cluster.stopComponent("etcd");
  await cluster.startComponent("etcd");
  await cluster.startComponent("kube-apiserver");
  assert.match(await cluster.kubectl(["get", "nodes", "-o", "name"]), /node\/n1/);
});

test("a second cluster of the same name is refused, one that lost its control plane is cleaned away", async () => {
  const artifacts = await buildArtifacts();
  await assert.rejects(upCluster(cluster.options, artifacts), { code: "E_CLUSTER_UP" });
  for (const node of cluster.nodes) process.kill(firstProcess(cluster.layout, node)!, "SIGKILL");
  await until("the nodes to end", 20_000, () =>
    cluster.nodes.every((node) => !firstProcess(cluster.layout, node)),
  );
  await cluster.stopComponent("etcd");
  cluster = await upCluster({ ...cluster.options, nodes: 1 }, artifacts);
  assert.deepEqual(openCluster(name).nodes, ["n1"]);
});

test("nothing is left when it is down", async () => {
  await downCluster(name);
  assert.equal(existsSync(layoutOf(name).dir), false);
  assert.deepEqual(
    listNetns().filter((netns) => netns.startsWith(layoutOf(name).netns)),
    [],
  );
  assert.equal(existsSync(`/sys/fs/cgroup/unified/${layoutOf(name).cgroup}`), false);
  assert.throws(() => openCluster(name), { code: "E_NO_CLUSTER" });
});
