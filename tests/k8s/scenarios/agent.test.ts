// SPDX-License-Identifier: Apache-2.0
/** What a real node asks of its agent: static pods, init containers, an API server that is away, deletions nobody hears. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { until } from "../cluster/until.ts";
import { weftCluster } from "../cluster/weft.ts";
import { agentBack, killOn, kubeSystem, pidOn, weftReady } from "../faults/agents.ts";

const cluster = await weftCluster();
const node = cluster.nodes[0]!;
const namespace = "agent-test";
const image = "e2e.local/agnhost:2.59";
const disk = join(cluster.layout.dir, "nodes", node);

const web = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", namespace },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: {
        nodeName: node,
        terminationGracePeriodSeconds: 0,
        containers: [{ name: "web", image, args: ["netexec", "--http-port=8080"] }],
      },
    },
  },
};
const service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace },
  spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
};

interface SavedEndpoint {
  readonly pod: string;
  readonly namespace: string;
  readonly containerId: string;
  readonly netns: string;
  readonly hostIfname: string;
  readonly v4: string;
}

/** What the agent of the node has noted of our pods. */
function saved(): SavedEndpoint[] {
  const dir = join(disk, "var-lib/weft/endpoints");
  return readdirSync(dir)
    .filter((name) => name.endsWith(".json"))
    .map((name) => JSON.parse(readFileSync(join(dir, name), "utf8")) as SavedEndpoint)
    .filter((endpoint) => endpoint.namespace === namespace);
}

const onNode = async (...argv: string[]) => (await cluster.onNode(node, argv)).stdout;
const agentLog = (previous = false) =>
  kubeSystem(cluster, ["logs", "-l", "k8s-app=weft", "--tail=-1", ...(previous ? ["--previous"] : [])]);

suite("an agent on a real node", { timeout: 600_000 }, () => {
  before(async () => {
    await weftReady(cluster);
    for (const object of [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
      web,
      service,
    ])
      await cluster.apply(object);
    await cluster.kubectl(["-n", namespace, "rollout", "status", "deployment/web", "--timeout=120s"], {
      timeoutMs: 125_000,
    });
  });
  after(async () => {
    if (!existsSync(join(disk, "manifests"))) mkdirSync(join(disk, "manifests"));
    rmSync(join(disk, "manifests/fixed.yaml"), { force: true });
    await cluster.kubectl(["delete", "namespace", namespace, "--wait=true", "--timeout=90s"], {
      timeoutMs: 95_000,
    });
    await cluster[Symbol.asyncDispose]();
  });

  test("a static pod: its init container reaches a Service, its hostPort is reached from outside", async () => {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "fixed", namespace, labels: { app: "fixed" } },
      spec: {
        terminationGracePeriodSeconds: 0,
        initContainers: [
          { name: "first", image, command: ["curl", "-sf", "-m", "5", `http://web.${namespace}/hostname`] },
        ],
        containers: [
          {
            name: "web",
            image,
            args: ["netexec", "--http-port=8080"],
            ports: [{ containerPort: 8080, hostPort: 8099 }],
          },
        ],
      },
    };
    writeFileSync(join(disk, "manifests/fixed.yaml"), JSON.stringify(pod));
    await until("the static pod to answer on its hostPort", 120_000, async () => {
      const address = await nodeAddress();
      const { stdout } = await cluster.outside(["curl", "-s", "-m", "2", `http://${address}:8099/hostname`]);
      return stdout === `fixed-${node}`;
    });
    const [uid, owner] = await Promise.all([
      cluster.kubectl(["-n", namespace, "get", "pod", `fixed-${node}`, "-o", "jsonpath={.metadata.uid}"]),
      cluster.kubectl([
        ...["-n", namespace, "get", "ciliumendpoint", `fixed-${node}`],
        ...["-o", "jsonpath={.metadata.ownerReferences[0].uid}"],
      ]),
    ]);
    assert.equal(owner, uid, "the endpoint's owner is the mirror, else it would be collected as garbage");
    rmSync(join(disk, "manifests/fixed.yaml"));
    await until("the static pod's endpoint to go", 120_000, () =>
      saved().every(({ pod: name }) => name !== `fixed-${node}`),
    );
  });

  test("pods deleted while no agent answers leave nothing behind", async () => {
    const gone = saved();
    assert.equal(gone.length, 2);
    const pid = await pidOn(cluster, node);
    // It can be connected to, and answers nothing: then it dies.
    await onNode("kill", "-STOP", String(pid));
    await cluster.kubectl([
      "-n",
      namespace,
      "delete",
      "pod",
      "-l",
      "app=web",
      "--wait=false",
      "--grace-period=1",
    ]);
    await killOn(cluster, node);
    await agentBack(cluster, node, pid);
    await until("two new pods, and nothing of the old ones", 120_000, async () => {
      const left = saved();
      return (
        left.length === 2 &&
        left.every(({ containerId }) => gone.every((one) => one.containerId !== containerId))
      );
    });
    const links = await onNode("ip", "-br", "link");
    for (const { hostIfname } of gone) assert.ok(!links.includes(hostIfname), hostIfname);
    await cluster.kubectl(["-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s"], {
      timeoutMs: 65_000,
    });
  });

  test("the API server away: a new agent starts, Services and pods work, a pod's sandbox is made anew", async () => {
    const address = await cluster.kubectl([
      "-n",
      namespace,
      "get",
      "service",
      "web",
      "-o",
      "jsonpath={.spec.clusterIP}",
    ]);
    const kept = join(disk, "var-lib/weft/cluster/services.json");
    await until(
      "the Service to be kept",
      60_000,
      () => existsSync(kept) && readFileSync(kept, "utf8").includes(address),
    );
    const pods = saved();
    const [one, other] = pods;
    assert.ok(one && other);
    const reach = async (from: SavedEndpoint) => {
      const { stdout } = await cluster.onNode(node, [
        ...["nsenter", `--net=${from.netns}`],
        ...["curl", "-s", "-m", "2", `http://${address}/hostname`],
      ]);
      return pods.some(({ pod }) => pod === stdout);
    };
    await until("a reachable Service, before", 30_000, () => reach(one));
    await cluster.stopComponent("kube-apiserver");
    try {
      const pid = await pidOn(cluster, node);
      await killOn(cluster, node);
      await until("a reachable Service, without agent", 30_000, () => reach(one));
      await agentBack(cluster, node, pid);
      await until("a reachable Service, with an agent that has only what was kept", 30_000, () => reach(one));
      // The pause container of a pod dies: the kubelet makes its sandbox anew, with an ADD.
      const sandbox = (await onNode("ctr", "-n", "k8s.io", "tasks", "ls"))
        .split("\n")
        .map((line) => line.trim().split(/\s+/))
        .find(([id]) => id === one.containerId);
      assert.ok(sandbox?.[1], "the sandbox runs");
      await onNode("kill", "-9", sandbox[1]);
      const anew = await until("the pod's new sandbox", 120_000, () =>
        saved().find(({ pod, containerId }) => pod === one.pod && containerId !== one.containerId),
      );
      await until("the pod in its new sandbox to reach the Service", 60_000, () => reach(anew));
      // Nobody can tell the Service that one of its two backends has another address now.
      await until("the other pod to reach the backend that is left", 60_000, () => reach(other));
    } finally {
      await cluster.startComponent("kube-apiserver");
    }
    await weftReady(cluster);
    await until("what was kept to be replaced", 60_000, async () =>
      (await agentLog()).includes("API server answers again: what was kept is replaced"),
    );
    await until("a reachable Service, afterwards", 30_000, () => reach(other));
    await cluster.kubectl(["-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s"], {
      timeoutMs: 65_000,
    });
  });

  test("probe lists what the node has; the probes answer", async () => {
    const [pod = ""] = (
      await kubeSystem(cluster, [
        ...["get", "pods", "-l", "k8s-app=weft", `--field-selector=spec.nodeName=${node}`, "-o", "name"],
      ])
    )
      .trim()
      .split("\n");
    const { stdout } = { stdout: await kubeSystem(cluster, ["exec", pod, "--", "weft-agent", "probe"]) };
    assert.match(stdout, /^ok {7}tcx links$/m);
    assert.doesNotMatch(stdout, /MISSING/);
    for (const path of ["healthz", "readyz"])
      assert.equal(await onNode("curl", "-s", "-m", "2", `http://127.0.0.1:9879/${path}`), "ok\n");
  });

  const nodeAddress = () =>
    cluster.kubectl([
      "get",
      "node",
      node,
      "-o",
      "jsonpath={.status.addresses[?(@.type=='InternalIP')].address}",
    ]);
});
