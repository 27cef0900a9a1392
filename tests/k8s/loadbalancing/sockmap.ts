// SPDX-License-Identifier: Apache-2.0
/** `acceleration.sockmap: annotated` between pods that containerd made and the kubelet probes. */
import assert from "node:assert/strict";
import { agnhostImage } from "../build/images.ts";
import { administratorOk } from "../cluster/administrator.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { until } from "../cluster/until.ts";
import { importImage } from "../load/clients.ts";
import { loadImage, loadImageArchive } from "../load/image.ts";
import { echoPort } from "../load/manifests.ts";
import { parseSeconds } from "../load/report.ts";
import { flowText } from "./outside.ts";

const namespace = "past";
const annotation = "weft.io/sockmap";

/** Nobody may connect to the server but, as always, its node: the kubelet's probes. */
const nobody = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "nobody", namespace },
  spec: { podSelector: { matchLabels: { app: "server" } }, policyTypes: ["Ingress"] },
};

const meta = (name: string, more: object = {}) => ({ name, namespace, ...more });

function pod(
  name: string,
  node: string,
  { taking = true, ...container }: { taking?: boolean; [key: string]: unknown },
) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: meta(name, { labels: { app: name }, ...(taking && { annotations: { [annotation]: "true" } }) }),
    spec: {
      nodeSelector: { "kubernetes.io/hostname": node },
      terminationGracePeriodSeconds: 0,
      containers: [{ name, imagePullPolicy: "IfNotPresent", ...container }],
    },
  };
}

/** A server behind a Service, who asks it with the annotation and without. */
function objects(node: string): object[] {
  const probe = { tcpSocket: { port: echoPort }, periodSeconds: 1 };
  const serve = { image: loadImage, args: ["serve", String(echoPort)] };
  const waits = { image: agnhostImage, args: ["pause"] };
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
    pod("server", node, { ...serve, readinessProbe: probe, livenessProbe: probe }),
    pod("quick", node, waits),
    pod("plain", node, { ...waits, taking: false }),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: meta("server"),
      spec: { selector: { app: "server" }, ports: [{ port: 80, targetPort: echoPort }] },
    },
  ];
}

/** Which connections go past the network: those of two that take part, also by a Service; a policy stops them at once, and its end lets them go on. */
export async function pastTheNetwork(cluster: Cluster): Promise<void> {
  const [node = ""] = cluster.nodes;
  const ours = (...args: string[]) => cluster.kubectl(["-n", namespace, ...args], { timeoutMs: 90_000 });
  const apply = (items: readonly object[]) => cluster.apply({ apiVersion: "v1", kind: "List", items });
  const ready = () => ours("wait", "--for=condition=Ready", "pod", "--all", "--timeout=80s");
  const weft = (...args: string[]) => administratorOk(cluster, ["weft", ...args, "-o", "json"]);
  const past = async () => {
    const [{ status }] = (JSON.parse(await weft("status", "--node", node)) as Status).nodes as [
      Status["nodes"][number],
    ];
    assert.equal(status.settings.acceleration, "annotated");
    return status.counts["messages past the network"] ?? 0;
  };
  const echoed = async (from: string, address: string) => {
    const script = `curl -s --http0.9 -m 1 http://${address}/echoed || true`;
    assert.match(await ours("exec", from, "--", "sh", "-c", script), /^GET \/echoed/, from);
  };

  await importImage(cluster, loadImageArchive());
  await apply(objects(node));
  await ready();
  const of = async (kind: string, path: string) =>
    (await ours("get", kind, "server", "-o", `jsonpath=${path}`)).trim();
  const [server, vip] = [await of("pod", "{.status.podIP}"), await of("service", "{.spec.clusterIP}")];
  const start = await past();
  await echoed("plain", vip);
  await echoed("plain", `${server}:${echoPort}`);
  assert.equal(await past(), start, "one end that takes part is not enough");
  await echoed("quick", vip);
  assert.ok((await past()) > start);

  const stream = flowText({
    name: "stream",
    kind: "stream",
    address: server,
    port: echoPort,
    perSecond: 100,
  });
  await apply([pod("stream", node, { image: loadImage, args: ["run", stream] })]);
  await ready();
  const morePast = async () => {
    const before = await past();
    await until("more messages past the network", 30_000, async () => (await past()) > before + 50);
  };
  await morePast();
  await apply([nobody]);
  const drops = async () => {
    const filter = ["--pod", `${namespace}/stream`, "--verdict", "DROPPED", "--last", "100"];
    return (await weft("observe", ...filter)).split("\n").filter((line) => line.includes("DROPPED")).length;
  };
  await until("its messages to be dropped", 30_000, async () => (await drops()) > 0);
  const [stopped, dropped] = [await past(), await drops()];
  await until("one more to be dropped", 30_000, async () => (await drops()) > dropped);
  assert.equal(await past(), stopped, "nothing goes past a policy");
  await ours("delete", "networkpolicy", "nobody");
  await morePast();

  const afterMs = Date.now();
  const rows = await until("the stream to report", 30_000, async () => {
    const all = parseSeconds(await ours("logs", "stream"));
    return all.some(({ at }) => at > afterMs) && all;
  });
  assert.deepEqual(
    [...new Set(rows.map(({ lost }) => lost))],
    [0],
    "it is the same connection, its bytes are whole",
  );
  const restarts = "jsonpath={.items[*].status.containerStatuses[*].restartCount}";
  assert.match(
    (await ours("get", "pods", "-o", restarts)).trim(),
    /^[0 ]+$/,
    "the kubelet's probes were answered",
  );
  await cluster.kubectl(["delete", "namespace", namespace, "--wait=false"]);
}

interface Status {
  readonly nodes: readonly {
    readonly status: {
      readonly settings: { readonly acceleration?: string };
      readonly counts: Readonly<Record<string, number>>;
    };
  }[];
}
