// SPDX-License-Identifier: Apache-2.0
/** Weft is installed, changed and taken away, by its own command and by helm; a node is left as it was found. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import { customResourceDefinitions } from "#api/crd/definitions.ts";
import { chartCases, chartDir, goldenFile, objectsByKey, parseObjects } from "#kit/chart-cases.ts";
import { administratorOk, asAdministrator } from "../cluster/administrator.ts";
import { deployDns, dnsReady } from "../cluster/coredns.ts";
import { until } from "../cluster/until.ts";
import { weftCluster } from "../cluster/weft.ts";

const cluster = await weftCluster();
const weft = (...args: string[]) => administratorOk(cluster, ["weft", ...args]);
const tryWeft = (...args: string[]) => asAdministrator(cluster, ["weft", ...args]);
const helm = (...args: string[]) => administratorOk(cluster, ["helm", ...args]);
const wait = ["--wait", "--timeout", "120"];

/** Everything Weft could leave behind on a node, and what it changes: devices, addresses, routes, rules, files, kernel parameters. */
const nodeScript = `
ip -o link | sed 's/^[0-9]*: //; s/ qdisc.*//; s/@.*//' | sort
ip -o address | awk '{print $2, $4}' | sort
ip route show table all | grep -v '^local\\|^broadcast\\|^multicast' | sort
ip rule; ip -6 rule
for dir in /etc/cni/net.d /opt/cni/bin /sys/fs/bpf /var/lib/weft /run/weft; do ls -A "$dir" 2>/dev/null | sed "s/^/file /"; done
for key in net/ipv4/ip_forward net/ipv6/conf/all/forwarding net/ipv4/ip_local_reserved_ports net/ipv4/conf/all/rp_filter net/ipv4/conf/eth0/rp_filter; do
  echo "$key $(cat /proc/sys/$key)"; done
`;

async function nodeState(node: string): Promise<string> {
  return (await cluster.onNode(node, ["sh", "-c", nodeScript])).stdout;
}

/** Pods there still are, also those that are told to end. */
async function ourPods(): Promise<string[]> {
  const names = await cluster.kubectl(["get", "pods", "-n", "kube-system", "-o", "name"]);
  return names.split("\n").filter((name) => name.includes("weft"));
}

/** Whoever installed it takes it away. */
async function takeAway(): Promise<void> {
  const byHelm = (await asAdministrator(cluster, ["helm", "status", "weft", "-n", "kube-system"])).code === 0;
  if (byHelm) await helm("uninstall", "weft", "-n", "kube-system", "--timeout", "180s");
  else await tryWeft("uninstall", "--timeout", "60");
}

const somebodysPolicy = {
  apiVersion: "cilium.io/v2",
  kind: "CiliumNetworkPolicy",
  metadata: { name: "somebodys", namespace: "default" },
  spec: { endpointSelector: {}, ingress: [{}] },
};

suite("installing", () => {
  const clean = new Map<string, string>();

  before(async () => {
    await takeAway();
    for (const node of cluster.nodes) clean.set(node, await nodeState(node));
  });
  // Others go on with this cluster: pods whose network was taken away get a new one.
  after(async () => {
    await takeAway();
    await weft("install", ...wait);
    await cluster.kubectl(["delete", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns", "--wait=false"]);
    await deployDns(cluster);
    await dnsReady(cluster);
    await cluster[Symbol.asyncDispose]();
  });

  const asFound = async () => {
    for (const node of cluster.nodes) assert.equal(await nodeState(node), clean.get(node), node);
  };

  test("nothing of Weft is on a clean node", () => {
    for (const state of clean.values()) {
      assert.doesNotMatch(state, /weft/);
      assert.doesNotMatch(state, /lxc/);
    }
  });

  test("install waits until every node is Ready; again it changes nothing", async () => {
    assert.match(await weft("install", ...wait), /DaemonSet weft 2\/2, .*nodes 2\/2/);
    assert.match(await weft("install"), /: \d+ unchanged$/m);
  });

  test("agents and operator are refused nothing: the rights they have are enough", async () => {
    for (const app of ["weft", "weft-operator"]) {
      const logs = await cluster.kubectl(["logs", "-n", "kube-system", "-l", `k8s-app=${app}`, "--tail=-1"]);
      assert.doesNotMatch(logs, /forbidden|\(403\)/i);
    }
  });

  test("a change of values is shown, rolled out node by node, and kept by the next upgrade", async () => {
    const said = await weft("upgrade", "--set", "config.flowBuffer=4095", ...wait);
    assert.match(said, /config\.flowBuffer: 16383 → 4095/);
    await weft("upgrade", "--set", "operator.replicas=2", ...wait);
    const config = await cluster.kubectl(["get", "cm", "-n", "kube-system", "weft-config", "-o", "yaml"]);
    assert.match(config, /flowBuffer: 4095/);
    await cluster.kubectl(["get", "pdb", "-n", "kube-system", "weft-operator"]);
  });

  test("what an installation no longer has is deleted", async () => {
    assert.match(
      await weft("upgrade", "--reset-values", ...wait),
      /poddisruptionbudgets\.policy\/weft-operator deleted/,
    );
  });

  test("what would interrupt the network is refused, with the reason", async () => {
    const { code, stderr } = await tryWeft("upgrade", "--set", "config.routing=native");
    assert.equal(code, 1);
    assert.match(stderr, /config\.routing "tunnel" → "native": .*cannot reach each other/);
    assert.match(stderr, /--allow-disruption/);
  });

  test("a wrong value is named by its path, an unknown one too", async () => {
    const { code, stderr } = await tryWeft("upgrade", "--set", "config.routing=bridge,agent.replicas=2");
    assert.equal(code, 1);
    assert.match(stderr, /config\.routing: .*agent\.replicas: there is no such value/);
  });

  test("a rollout that hangs says which pod and why", async () => {
    const { code, stderr } = await tryWeft(
      "upgrade",
      "--set",
      "image.tag=0.0.0-none",
      "--wait",
      "--timeout",
      "20",
    );
    assert.equal(code, 1);
    assert.match(stderr, /Pod weft-\w+ on n\d: container agent: \w*Image\w*/);
    await weft("upgrade", "--reset-values", ...wait);
  });

  test("uninstall leaves every node as it was found, also after an upgrade to an image there is not", async () => {
    await weft("upgrade", "--set", "image.tag=0.0.0-none");
    assert.match(await weft("uninstall"), /2 nodes clean/);
    assert.deepEqual(await ourPods(), []);
    await asFound();
    const { code, stderr } = await tryWeft("uninstall");
    assert.deepEqual([code, /no installation of Weft/.test(stderr)], [1, true]);
  });

  test("the same by helm", async () => {
    const api = "apiServer.host=10.240.0.1";
    await helm(
      "install",
      "weft",
      "charts/weft",
      "-n",
      "kube-system",
      "--set",
      api,
      "--wait",
      "--timeout",
      "180s",
    );
    assert.match((await tryWeft("install")).stderr, /by Helm/);
    await helm("uninstall", "weft", "-n", "kube-system", "--timeout", "180s");
    await asFound();
    // The hook's own pod goes with its job.
    await until("all of Weft's pods to end", 60_000, async () => (await ourPods()).length === 0);
    const left = await cluster.kubectl([
      "get",
      "ds,deploy,rs,job,svc,cm,sa,role,rolebinding,clusterrole,clusterrolebinding,lease",
      "-A",
      "-o",
      "name",
    ]);
    assert.doesNotMatch(left, /weft/);
    const written = "ciliumnodes,ciliumidentities,ciliumendpoints,ciliumendpointslices,nodepolicystatuses";
    assert.equal(await cluster.kubectl(["get", written, "-A", "-o", "name"]), "");
  });

  test("--crds takes the definitions too, but not the policies people wrote unless told so", async () => {
    await weft("install", ...wait);
    await cluster.apply(somebodysPolicy);
    const { code, stderr } = await tryWeft("uninstall", "--crds");
    assert.deepEqual([code, /would delete 1 ciliumnetworkpolicies/i.test(stderr)], [1, true], stderr);
    await cluster.kubectl(["get", "ds", "-n", "kube-system", "weft"]);
    await weft("uninstall", "--crds", "--yes");
    const definitions = await cluster.kubectl(["get", "crd", "-o", "name"]);
    for (const { metadata } of customResourceDefinitions) assert.ok(!definitions.includes(metadata.name));
    assert.deepEqual(await ourPods(), []);
    await asFound();
  });
});

test("golden files are what helm renders", async () => {
  for (const { name, profile, set } of chartCases) {
    const values = profile ? ["-f", `${chartDir}/profiles/${profile}.yaml`] : [];
    const sets = set.flatMap((one) => ["--set", one]);
    const version = ["--kube-version", "1.35.0"];
    const text = await helm(
      "template",
      "weft",
      chartDir,
      "-n",
      "kube-system",
      ...version,
      ...values,
      ...sets,
    );
    const golden = readFileSync(goldenFile(name), "utf8");
    assert.deepEqual(objectsByKey(parseObjects(text)), objectsByKey(parseObjects(golden)), name);
  }
});
