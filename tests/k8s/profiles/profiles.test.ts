// SPDX-License-Identifier: Apache-2.0
/** Weft installed with other settings than the default ones, each on a cluster of its own: all of `weft connectivity test`, and what the setting promises. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { administratorOk } from "../cluster/administrator.ts";
import { type Cluster, downCluster } from "../cluster/cluster.ts";
import { collectLogs } from "../cluster/collect.ts";
import { until } from "../cluster/until.ts";
import { upWithWeft, type WeftOptions } from "../cluster/weft.ts";
import { directReturn } from "../loadbalancing/direct-return.ts";

interface Profile {
  readonly name: string;
  readonly options: WeftOptions;
  readonly promises: Readonly<Record<string, (cluster: Cluster) => Promise<void>>>;
}

const clusterName = "profiles";
/** Outside the range a cluster of ours has its pods in otherwise. */
const pool = "10.250.0.0/16";

const profiles: readonly Profile[] = [
  {
    name: "native-routing",
    options: { profile: "native-routing" },
    promises: { "packets between nodes have no tunnel around them": withoutTunnel },
  },
  {
    name: "dual-stack",
    options: { families: "dual" },
    promises: { "pods have addresses of both families": bothFamilies },
  },
  {
    name: "dual-stack with native routing",
    options: { families: "dual", set: ["config.routing=native"] },
    promises: {
      "pods have addresses of both families": bothFamilies,
      "packets between nodes have no tunnel around them": withoutTunnel,
      "direct server return by IP in IP and by Geneve, changed with connections open": directly,
    },
  },
  {
    name: "cluster-pool with CiliumEndpointSlices",
    options: {
      nodeCidrs: false,
      set: [
        "config.ipam=cluster-pool",
        "config.endpointSlices=true",
        `operator.config.clusterPool.v4.cidrs={${pool}}`,
      ],
    },
    promises: {
      "pods have their addresses from the pool": fromPool,
      "slices have all pods of the network": slicesComplete,
    },
  },
];

for (const { name, options, promises } of profiles) {
  suite(name, () => {
    let cluster: Cluster;
    let passed = 0;
    let started = 0;
    const checked = (what: string, check: () => Promise<unknown>) =>
      test(what, async () => {
        started++;
        await check();
        passed++;
      });

    before(async () => {
      cluster = await upWithWeft({ ...options, name: clusterName });
    });
    after(async () => {
      if (passed < started) await collectLogs(cluster, `build/kubernetes/${name.replaceAll(" ", "-")}-logs`);
      await downCluster(clusterName);
    });

    checked("weft status --wait: everything works", async () => {
      const said = await administratorOk(cluster, ["weft", "status", "--wait", "--timeout", "120"]);
      assert.match(said, /everything works/);
    });
    for (const [what, check] of Object.entries(promises)) checked(what, () => check(cluster));
    checked("weft connectivity test", async () => {
      await administratorOk(cluster, ["weft", "connectivity", "test"], 420_000);
    });
  });
}

/** Of the pods in the pod network: all addresses of each. */
async function podAddresses(cluster: Cluster): Promise<ReadonlyMap<string, readonly string[]>> {
  const text = await cluster.kubectl(["get", "pods", "-A", "-o", "json"]);
  const { items } = JSON.parse(text) as { readonly items: readonly PodObject[] };
  const own = items.filter(({ spec, status }) => !spec.hostNetwork && status.podIPs);
  return new Map(
    own.map(({ metadata, status }) => [
      `${metadata.namespace}/${metadata.name}`,
      status.podIPs!.map(({ ip }) => ip),
    ]),
  );
}

interface PodObject {
  readonly metadata: { readonly namespace: string; readonly name: string };
  readonly spec: { readonly hostNetwork?: boolean };
  readonly status: { readonly podIPs?: readonly { readonly ip: string }[] };
}

async function withoutTunnel(cluster: Cluster): Promise<void> {
  for (const node of cluster.nodes) {
    const { stdout } = await cluster.onNode(node, ["ip", "-o", "link", "show", "type", "vxlan"]);
    assert.equal(stdout, "", node);
  }
}

async function bothFamilies(cluster: Cluster): Promise<void> {
  const pods = await podAddresses(cluster);
  assert.ok(pods.size > 0);
  for (const [pod, ips] of pods) {
    assert.deepEqual(
      ips.map((ip) => (ip.includes(":") ? 6 : 4)),
      [4, 6],
      pod,
    );
  }
}

async function directly(cluster: Cluster): Promise<void> {
  const direct = await directReturn(cluster);
  for (const way of ["ipip", "geneve"] as const) {
    for (const { flow, lost, received } of await direct.change(way))
      assert.deepEqual([lost, received > 0], [0, true], `${flow}, ${way}`);
    await direct.seesClients(way);
  }
}

async function fromPool(cluster: Cluster): Promise<void> {
  const pods = await podAddresses(cluster);
  assert.ok(pods.size > 0);
  for (const [pod, [ip = ""]] of pods) assert.ok(ip.startsWith("10.250."), `${pod} has ${ip}`);
}

async function slicesComplete(cluster: Cluster): Promise<void> {
  const wanted = [...(await podAddresses(cluster)).keys()].sort();
  await until("all pods to be in slices", 30_000, async () => {
    const text = await cluster.kubectl(["get", "ciliumendpointslices", "-o", "json"]);
    const { items } = JSON.parse(text) as { readonly items: readonly SliceObject[] };
    const found = items.flatMap(({ namespace, endpoints }) =>
      endpoints.map(({ name }) => `${namespace}/${name}`),
    );
    return wanted.every((pod) => found.includes(pod));
  });
}

interface SliceObject {
  readonly namespace: string;
  readonly endpoints: readonly { readonly name: string }[];
}
