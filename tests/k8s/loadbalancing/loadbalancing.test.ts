// SPDX-License-Identifier: Apache-2.0
/** Load balancing on a real cluster: addresses out of pools and on the wire, ways out by gateways, local redirects, DSR, XDP, and what is lost when things end. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { parseAddress } from "#model/ip.ts";
import { l2LeaseLabel } from "#model/leases.ts";
import { leaseName } from "#services/l2-policy.ts";
import { administratorOk } from "../cluster/administrator.ts";
import { addresses } from "../cluster/shape.ts";
import { until } from "../cluster/until.ts";
import { weftCluster } from "../cluster/weft.ts";
import { agentBack, killOn, kubeSystem, pidOn, weftReady } from "../faults/agents.ts";
import { importImage, SETTLES_MS } from "../load/clients.ts";
import { loadImage, loadImageArchive } from "../load/image.ts";
import { type FlowSecond, parseSeconds, reportFlows, reportText } from "../load/report.ts";
import { losersAreTold } from "./claims.ts";
import { directReturn } from "./direct-return.ts";
import { tellsOfServices } from "./looking.ts";
import {
  addressOf,
  ask,
  clientOf,
  type Family,
  families,
  flowText,
  loadOutside,
  outsidePort,
  serveOutside,
  urlOf,
  wholeChecksums,
} from "./outside.ts";
import { deniesOutside, doesNotLockOut } from "./prefilter.ts";
import {
  edge,
  egressIp,
  egressPolicies,
  l2Policy,
  lbPool,
  metadataAddress,
  namespace,
  objects,
  redirects,
} from "./scene.ts";
import { pastTheNetwork } from "./sockmap.ts";

const cluster = await weftCluster({
  name: "balance",
  nodes: 3,
  families: "dual",
  set: ["config.l2Announcements.enabled=true", "config.xdp.devices={eth0}", "config.xdp.mode=generic"],
});
const [near = "", first = "", second = ""] = cluster.nodes;
const outside = { 4: addresses.outside.v4, 6: addresses.outside.v6 };
const ours = (...args: string[]) => cluster.kubectl(["-n", namespace, ...args], { timeoutMs: 150_000 });
const of = (family: Family, all: readonly string[]) =>
  all.find((address) => address.includes(":") === (family === 6));
const seconds = (fromMs: number) => ((performance.now() - fromMs) / 1000).toFixed(1);

/** In the pod; "": no answer within a second. */
async function inPod(pod: string, url: string): Promise<string> {
  const script = `curl -s -g -m 1 ${url} || true`;
  return (await ours("exec", pod, "--", "sh", "-c", script)).trim();
}

async function addressesOf(service: string): Promise<string[]> {
  const path = "jsonpath={.status.loadBalancer.ingress[*].ip}";
  return (await ours("get", "service", service, "-o", path)).trim().split(" ").filter(Boolean);
}

/** Who holds the Leases of addresses: by their names. */
async function holders(): Promise<Map<string, string>> {
  const path = "jsonpath={range .items[*]}{.metadata.name}={.spec.holderIdentity} {end}";
  const text = await kubeSystem(cluster, ["get", "leases", "-l", l2LeaseLabel.join("="), "-o", path]);
  return new Map(
    text
      .trim()
      .split(" ")
      .filter(Boolean)
      .map((pair) => pair.split("=") as [string, string]),
  );
}

async function neighbour(address: string): Promise<string | undefined> {
  const { stdout } = await cluster.outside(["ip", "-j", "neigh", "show", address]);
  return (JSON.parse(stdout || "[]") as { readonly lladdr?: string }[])[0]?.lladdr;
}

async function macOf(node: string): Promise<string> {
  const { stdout } = await cluster.onNode(node, ["cat", "/sys/class/net/eth0/address"]);
  return stdout.trim();
}

/** The address the client's questions have outside; undefined: it gets no answer. */
async function leavesAs(family: Family): Promise<string | undefined> {
  return clientOf(await inPod("client", urlOf(outside[family], outsidePort, "/clientip")));
}

const wayOut = (what: string, family: Family, address: string, timeoutMs = 30_000) =>
  until(what, timeoutMs, async () => (await leavesAs(family)) === address);

suite("load balancing", { timeout: 1_200_000 }, () => {
  const stack = new AsyncDisposableStack();

  before(async () => {
    stack.use(cluster);
    await weftReady(cluster);
    wholeChecksums(cluster);
    stack.use(serveOutside(cluster));
    await importImage(cluster, loadImageArchive());
    await cluster.apply({ apiVersion: "v1", kind: "List", items: objects({ near, edges: [first, second] }) });
    await cluster.apply({ apiVersion: "v1", kind: "List", items: [lbPool, l2Policy] });
    await cluster.kubectl(["label", "node", first, `${edge}=`]);
    await ours("wait", "--for=condition=Ready", "pod", "--all", "--timeout=120s");
  });
  after(() => stack.disposeAsync());

  test("a pool gives a Service addresses, which its status and conditions tell", async () => {
    const given = await until("addresses", 30_000, async () => {
      const found = await addressesOf("web");
      return found.length === 2 && found;
    });
    assert.match(of(4, given)!, /^10\.240\.0\.21\d$/);
    assert.match(of(6, given)!, /^fd00:240::d/);
    const table = await cluster.kubectl(["get", "ippools"]);
    assert.match(table, /blue/);
    const satisfied = "jsonpath={.status.conditions[?(@.type=='cilium.io/IPAMRequestSatisfied')].status}";
    assert.equal(await ours("get", "service", "web", "-o", satisfied), "True");
  });

  test("a node announces them, by a Lease; the outside finds it by ARP and neighbour discovery", async () => {
    const given = await addressesOf("web");
    await until("Leases of the node", 30_000, async () => {
      const held = await holders();
      return given.every((address) => held.get(leaseName(parseAddress(address))) === first);
    });
    for (const address of given) {
      await until(`an answer of ${address}`, 30_000, async () => (await ask(cluster, address, 80)) === "web");
      assert.equal(await neighbour(address), await macOf(first), address);
    }
    assert.match(
      await cluster.kubectl(["-n", "kube-system", "get", "leases"]),
      /cilium-l2announce-10\.240\.0\.21\d/,
    );
  });

  test("who asks for another's address or port, or by an unknown word, is told; the older one goes on", async () => {
    await losersAreTold(cluster, await addressesOf("web"));
  });

  test("a NodePort from outside, at XDP: by the node's address, under DSR by the client's own", async () => {
    const { stdout: link } = await cluster.onNode(second, ["ip", "-d", "link", "show", "eth0"]);
    assert.match(link, /xdpgeneric/);
    const path = "jsonpath={.spec.ports[0].nodePort}";
    const [snat, dsr] = [
      Number(await ours("get", "service", "web", "-o", path)),
      Number(await ours("get", "service", "kept", "-o", path)),
    ];
    for (const family of families)
      for (const node of [near, second]) {
        const address = addressOf(cluster, node, family);
        const seen = (port: number) =>
          until(`an answer of ${node}, IPv${family}`, 30_000, async () =>
            clientOf(await ask(cluster, address, port, "/clientip")),
          );
        const own = node === near;
        assert.equal((await seen(snat)) === outside[family], own, `snat, ${node}, IPv${family}`);
        assert.equal(await seen(dsr), outside[family], `dsr, ${node}, IPv${family}`);
      }
  });

  test("weft service tells of Services of every type: who answers, by which path, on which node", async () => {
    const loadBalancerIp = of(4, await addressesOf("web"))!;
    await tellsOfServices(cluster, { near, far: second, announcer: first, loadBalancerIp });
  });

  test("weft prefilter refuses to cut nodes off from each other and from the API server", () =>
    doesNotLockOut(cluster, families));

  test("weft prefilter denies a host on every node, at XDP, whatever becomes of an agent", () =>
    deniesOutside(cluster, families));

  test("local redirects lead pods to their own node's pod, of an address and of a Service", async () => {
    const vip = (await ours("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")).trim();
    const asked = async (pod: string) => [
      await inPod(pod, urlOf(metadataAddress, 80, "/hostname")),
      await inPod(pod, urlOf(vip, 80, "/hostname")),
    ];
    await cluster.apply({ apiVersion: "v1", kind: "List", items: redirects });
    for (const [pod, proxy] of Object.entries({ client: "proxy-near", far: "proxy-far" }))
      await until(`${pod} to ask ${proxy}`, 30_000, async () =>
        (await asked(pod)).every((name) => name === proxy),
      );
    // What is redirected to asks the Service itself.
    await until("the proxy to ask the Service", 30_000, async () => (await asked("proxy-near"))[1] === "web");
    await ours("delete", "ciliumlocalredirectpolicies", "--all");
    await until("the Service itself", 30_000, async () => (await asked("far"))[1] === "web");
    assert.equal((await asked("far"))[0], "");
  });

  test("what a pod sends outside leaves by its gateway, as the policy's address", async () => {
    await wayOut("the node's own", 4, addressOf(cluster, near, 4));
    await cluster.onNode(first, ["ip", "addr", "add", `${egressIp}/32`, "dev", "eth0"]);
    const { v4, v6 } = addresses.outside;
    await cluster.apply({ apiVersion: "v1", kind: "List", items: egressPolicies({ v4, v6 }) });
    await wayOut("the egress IP", 4, egressIp);
    await wayOut("the gateway's own", 6, addressOf(cluster, first, 6));
    const told = () => cluster.kubectl(["get", "ciliumegressgatewaypolicies"]);
    await until("its status", 30_000, async () => new RegExp(`client-v4 +True +${first}`).test(await told()));
  });

  test("a rolling update of ten pods under 200 connections a second, an agent killed in it, loses none", async () => {
    const vip = (await ours("get", "service", "roll", "-o", "jsonpath={.spec.clusterIP}")).trim();
    const given = await addressesOf("roll");
    const target = { perSecond: 100, port: 80 };
    const flow = flowText({ ...target, name: "pod", address: vip });
    await cluster.apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "asker", namespace, labels: { app: "asker" } },
      spec: {
        nodeSelector: { "kubernetes.io/hostname": near },
        containers: [
          { name: "load", image: loadImage, imagePullPolicy: "IfNotPresent", args: ["run", flow] },
        ],
      },
    });
    await ours("wait", "--for=condition=Ready", "pod", "asker", "--timeout=30s");
    const load = loadOutside(cluster, [{ ...target, name: "outside", address: of(4, given)! }]);
    try {
      const fromMs = Date.now();
      await ours("rollout", "restart", "deployment", "roll");
      const pid = await pidOn(cluster, near);
      await killOn(cluster, near);
      await ours("rollout", "status", "deployment", "roll", "--timeout=120s");
      await agentBack(cluster, near, pid);
      const interval = { fromMs, toMs: Date.now() };
      const rows = await until("the clients to report", SETTLES_MS + 30_000, async () => {
        if (Date.now() < interval.toMs + SETTLES_MS) return false;
        const all = [load.seconds(), parseSeconds(await ours("logs", "asker"))];
        return all.every((some) => some.some(({ at }) => at >= interval.toMs - 1_000)) && all.flat();
      });
      const reports = reportFlows(rows, interval);
      console.log(reportText(reports));
      assert.equal(reports.length, 2);
      for (const { flow, sent, lost } of reports) assert.deepEqual([lost, sent > 500], [0, true], flow);
    } finally {
      load.stop();
      await ours("delete", "pod", "asker", "--wait=false", "--grace-period=0", "--force");
    }
  });

  test("weft upgrade to Geneve under dsr, and to sockmap, with connections open: none is lost, backends see clients", async () => {
    const direct = await directReturn(cluster);
    const reports = await direct.change("geneve", ["config.acceleration.sockmap=annotated"]);
    for (const { flow, lost, received } of reports) assert.deepEqual([lost, received > 0], [0, true], flow);
    await direct.seesClients("geneve");
  });

  test("pods of a node that both say so talk past the network, until a policy forbids it", () =>
    pastTheNetwork(cluster));

  test("the announcing node, which is the gateway too, is killed: another takes over both", async () => {
    const given = await addressesOf("echo");
    await until("the node to announce", 30_000, async () =>
      [...(await holders()).values()].every((node) => node === first),
    );
    await cluster.kubectl(["label", "node", second, `${edge}=`]);
    const load = loadOutside(
      cluster,
      families.map((family) => ({
        name: `IPv${family}`,
        address: of(family, given)!,
        port: 80,
        perSecond: 25,
      })),
    );
    try {
      await until("connections", 30_000, () => load.seconds().some(({ received }) => received > 0));
      const pulledMs = performance.now();
      await cluster.pull(first);
      const took = given.map(async (address) => {
        await until(`${address} of ${second}`, 60_000, async () => {
          return (await neighbour(address)) === (await macOf(second));
        });
        return `${address} ${seconds(pulledMs)} s`;
      });
      console.log(`taken over: ${(await Promise.all(took)).join(", ")}`);
      const takenMs = Date.now();
      await wayOut("the other gateway", 6, addressOf(cluster, second, 6), 90_000);
      console.log(`the other gateway: ${seconds(pulledMs)} s`);
      // Who keeps an address alive (VRRP, a cloud) moves it: here by hand.
      await cluster.onNode(second, ["ip", "addr", "add", `${egressIp}/32`, "dev", "eth0"]);
      await cluster.outside(["ip", "neigh", "flush", "to", egressIp]);
      await wayOut("the egress IP, from there", 4, egressIp);
      console.log(`with the egress IP moved: ${seconds(pulledMs)} s`);
      await cluster.start(first);
      const after = await until("connections to be accounted for", SETTLES_MS + 60_000, () => {
        const rows = load.seconds().filter(({ at }) => at > takenMs + 1_000);
        return families.every((family) => countOf(rows, family) >= 5) && rows;
      });
      for (const family of families) {
        const rows = after.filter(({ flow }) => flow === `IPv${family}`);
        const lost = rows.reduce((sum, row) => sum + row.lost, 0);
        assert.equal(lost, 0, `connections lost after the takeover, IPv${family}`);
        assert.ok(rows.every(({ received }) => received > 0));
      }
    } finally {
      load.stop();
    }
    await weftReady(cluster);
    assert.ok([...(await holders()).values()].every((node) => node === second));
  });

  test("agents and operator were refused nothing; uninstalling leaves no Lease and no state", async () => {
    for (const app of ["weft", "weft-operator"]) {
      const logs = await kubeSystem(cluster, ["logs", "-l", `k8s-app=${app}`, "--tail=-1", "--prefix"]);
      const refused = logs.split("\n").filter((line) => /forbidden|\(403\)/i.test(line));
      assert.deepEqual(refused, []);
    }
    assert.match(await administratorOk(cluster, ["weft", "uninstall"]), /3 nodes clean/);
    const leases = await cluster.kubectl(["-n", "kube-system", "get", "leases", "-o", "name"]);
    assert.doesNotMatch(leases, /weft|cilium/);
    const kinds = "ciliumendpoints,ciliumendpointslices,ciliumidentities,ciliumnodes,nodepolicystatuses";
    assert.equal(await cluster.kubectl(["get", kinds, "-A", "-o", "name"]), "");
    for (const node of cluster.nodes) {
      const { stdout } = await cluster.onNode(node, ["ip", "-d", "link", "show", "eth0"]);
      assert.doesNotMatch(stdout, /xdp/, node);
    }
  });
});

function countOf(rows: readonly FlowSecond[], family: Family): number {
  return rows.filter(({ flow }) => flow === `IPv${family}`).length;
}
