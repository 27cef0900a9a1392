// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import { Verdict } from "#api/gen/flow/flow_pb.ts";
import { GetFlowsResponseSchema, Observer } from "#api/gen/observer/observer_pb.ts";
import { Peer } from "#api/gen/peer/peer_pb.ts";
import { GrpcClient } from "#kit/grpc-client.ts";
import { scrape } from "#kit/lab-metrics.ts";
import { PodClient } from "#kit/lab-pod.ts";
import { checkout, labName, labStateDir, until, weft, weftOk } from "#kit/lab-run.ts";
import { kubectlOk, podOf, useLab } from "#kit/lab-use.ts";

interface End {
  readonly identity: number;
  readonly namespace?: string;
  readonly labels?: readonly string[];
  readonly pod_name?: string;
}

interface Flow {
  readonly uuid: string;
  readonly time: string;
  readonly verdict: string;
  readonly drop_reason_desc?: string;
  readonly IP: { readonly source: string; readonly destination: string };
  readonly l4?: { readonly TCP?: { readonly destination_port: number; readonly flags: object } };
  readonly source: End;
  readonly destination: End;
  readonly node_name: string;
  readonly traffic_direction: string;
  readonly is_reply: boolean;
  readonly destination_service?: { readonly name: string; readonly namespace: string };
  readonly ingress_allowed_by?: readonly Named[];
  readonly egress_allowed_by?: readonly Named[];
  readonly ingress_denied_by?: readonly Named[];
  readonly egress_denied_by?: readonly Named[];
}

interface Named {
  readonly name: string;
  readonly namespace: string;
  readonly kind: string;
}

const echo = { name: "echo", namespace: "load", kind: "NetworkPolicy" };
const clientPolicy = { name: "client", namespace: "load", kind: "CiliumNetworkPolicy" };

suite("flows of a lab", () => {
  const lab = useLab({ files: ["restart.yaml"] });
  const pods = { client: "", near: "", far: "" };
  const addresses = { client: "", near: "", far: "", service: "" };

  before(async () => {
    for (const name of ["client", "near", "far"] as const) {
      const pod = podOf(lab.status, "load", name);
      [pods[name], addresses[name]] = [pod.name, pod.ips[0]!];
    }
    const path = "jsonpath={.spec.clusterIP}";
    addresses.service = await kubectlOk(["-n", "load", "get", "service", "echo", "-o", path]);
    await traffic();
  });

  /** Allowed through the Service until both servers have answered, denied by the server's policy, denied by the client's. */
  async function traffic(): Promise<void> {
    using client = await PodClient.start("load/client");
    using near = await PodClient.start("load/near");
    const seen = new Set<string>();
    await until("both servers", async () => {
      seen.add((await client.call("http", { host: addresses.service, port: 70 })).pod);
      return seen.size === 2;
    });
    const denied = { port: 7000, timeoutMs: 200 };
    assert.equal((await near.call("http", { host: addresses.far, ...denied })).outcome, "timeout");
    assert.equal((await client.call("http", { host: "198.51.100.7", ...denied })).outcome, "timeout");
  }

  test("an allowed connection: pods, labels, identities, Service, both policies, directions, replies", async () => {
    const flows = await observe("--from-pod", "load/client", "--to-pod", "load/far", "--to-port", "7000");
    const [first] = flows;
    assert.ok(first);
    assert.equal(first.verdict, "FORWARDED");
    assert.equal(first.is_reply, false);
    assert.deepEqual(first.IP, { ...first.IP, source: addresses.client, destination: addresses.far });
    assert.deepEqual(first.l4?.TCP?.flags, { SYN: true });
    assert.deepEqual([first.source.pod_name, first.destination.pod_name], [pods.client, pods.far]);
    assert.ok(
      first.source.labels?.includes("k8s:app=client") && first.destination.labels?.includes("k8s:at=far"),
    );
    assert.ok(first.source.identity > 255 && first.destination.identity > 255);
    const out = flows.find((flow) => flow.node_name === "weft-lab/n1");
    assert.deepEqual(out?.destination_service, { name: "echo", namespace: "load" });
    assert.equal(out?.traffic_direction, "EGRESS");
    assert.deepEqual(named(out?.egress_allowed_by), [clientPolicy]);
    const inward = flows.find((flow) => flow.node_name === "weft-lab/n2");
    assert.equal(inward?.traffic_direction, "INGRESS");
    assert.deepEqual(named(inward?.ingress_allowed_by), [echo]);
    assert.equal(inward?.source.identity, out?.source.identity);
    const replies = await observe("--from-pod", "load/far", "--to-pod", "load/client");
    assert.ok(replies.length > 0 && replies.every((flow) => flow.is_reply));
  });

  test("denied connections: reason, direction, who denied", async () => {
    const [inward] = await observe("--verdict", "DROPPED", "--to-pod", "load/far");
    assert.equal(inward?.drop_reason_desc, "POLICY_DENIED");
    assert.equal(inward?.traffic_direction, "INGRESS");
    assert.equal(inward?.source.pod_name, pods.near);
    assert.deepEqual(named(inward?.ingress_denied_by), [echo]);
    const [out] = await observe("--verdict", "DROPPED", "--to-ip", "198.51.100.7");
    assert.equal(out?.traffic_direction, "EGRESS");
    assert.deepEqual(out?.destination.labels, ["reserved:world"]);
    assert.deepEqual(named(out?.egress_denied_by), [clientPolicy]);
  });

  test("filters leave out what they say, and nothing else", async () => {
    const all = await observe();
    const cases: [string[], (flow: Flow) => boolean][] = [
      [["--verdict", "DROPPED"], (f) => f.verdict === "DROPPED"],
      [["--to-label", "app=echo"], (f) => f.destination.labels?.includes("k8s:app=echo") ?? false],
      [["--from-ip", addresses.near], (f) => f.IP.source === addresses.near],
      [["--to-ip", "198.51.100.0/24"], (f) => f.IP.destination.startsWith("198.51.100.")],
      [["--identity", "world"], (f) => f.source.identity === 2 || f.destination.identity === 2],
      [["--to-port", "7000", "--verdict", "DROPPED"], (f) => toPort(f) === 7000 && f.verdict === "DROPPED"],
      [["--not", "--to-pod", "load/far"], (f) => f.destination.pod_name !== pods.far],
      [["--node-name", "n2"], (f) => f.node_name === "weft-lab/n2"],
    ];
    for (const [args, keeps] of cases) {
      const wanted = all.filter(keeps).map(({ uuid }) => uuid);
      // Flows go on meanwhile (probes, leases): what came since is no difference.
      const known = new Set(all.map(({ uuid }) => uuid));
      const found = (await observe(...args)).map(({ uuid }) => uuid).filter((uuid) => known.has(uuid));
      assert.deepEqual(found.sort(), wanted.sort(), args.join(" "));
    }
  });

  test("every output form; a node's own socket", async () => {
    const socket = `unix://${join(labStateDir, "nodes/n2/run/observer.sock")}`;
    const own = await observe("--server", socket, "--verdict", "DROPPED");
    assert.ok(own.length > 0 && own.every(({ node_name }) => node_name === "weft-lab/n2"));
    const dropped = ["observe", "--verdict", "DROPPED", "--to-pod", "load/far", "--last", "1"];
    const line = new RegExp(
      `load/${pods.near}:\\d+ .*-> load/${pods.far}:7000 .*DROPPED \\(TCP Flags: SYN\\)`,
    );
    assert.match(await weftOk(...dropped), line);
    assert.match(await weftOk(...dropped, "-o", "table"), /^TIMESTAMP +SOURCE +DESTINATION +TYPE +VERDICT/m);
    assert.match(await weftOk(...dropped, "-o", "dict"), /VERDICT: DROPPED/);
  });

  test("a follower gets what comes, and ends with Ctrl-C", async () => {
    const argv = ["observe", "--follow", "--last", "0", "--verdict", "DROPPED", "-o", "jsonpb"];
    const child = spawn(join(checkout, "weft"), argv, { env: { ...process.env, WEFT_LAB: labName } });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    const ended = once(child, "close");
    try {
      await until("a denied flow", async () => {
        using near = await PodClient.start("load/near");
        await near.call("http", { host: addresses.far, port: 7000, timeoutMs: 100 });
        return parse(text).some((flow) => flow.source.pod_name === pods.near);
      });
    } finally {
      child.kill("SIGINT");
    }
    const [code] = (await ended) as [number | null];
    assert.ok(code === 0 || code === 130, String(code));
  });

  test("another gRPC client gets the same", async () => {
    using client = new GrpcClient(lab.status.observer);
    const status = await client.unary(Observer.method.serverStatus, {});
    assert.equal(status.numConnectedNodes, 2);
    const nodes = await client.unary(Observer.method.getNodes, {});
    assert.deepEqual(nodes.nodes.map(({ name }) => name).sort(), ["weft-lab/n1", "weft-lab/n2"]);
    const namespaces = await client.unary(Observer.method.getNamespaces, {});
    assert.ok(namespaces.namespaces.some(({ namespace }) => namespace === "load"));
    const whitelist = [{ destinationPod: ["load/far"], verdict: [Verdict.DROPPED] }];
    const answers = await client.stream(Observer.method.getFlows, { number: 100n, whitelist });
    const flows = answers
      .filter(({ responseTypes }) => responseTypes.case === "flow")
      .map((one) => (toJson(GetFlowsResponseSchema, one) as unknown as { flow: { uuid: string } }).flow.uuid);
    const printed = await observe("--last", "100", "--verdict", "DROPPED", "--to-pod", "load/far");
    assert.ok(flows.length > 0);
    assert.deepEqual(
      printed.map(({ uuid }) => uuid).filter((uuid) => flows.includes(uuid)),
      flows,
    );
    const peers = await client.stream(Peer.method.notify, {}, (list) => list.length === 2);
    assert.deepEqual(peers.map(({ name }) => name).sort(), ["weft-lab/n1", "weft-lab/n2"]);
  });

  test("metrics of flows and agents, by node", async () => {
    const samples = await until("the drops", async () => {
      const found = await scrape(lab.status.metrics);
      return found.some(({ name }) => name === "hubble_drop_total") ? found : undefined;
    });
    const of = (name: string) => samples.filter((sample) => sample.name === name);
    const nodes = (name: string) => [...new Set(of(name).map(({ labels }) => labels.node))].sort();
    assert.deepEqual(nodes("hubble_flows_processed_total"), ["n1", "n2"]);
    assert.deepEqual(nodes("process_resident_memory_bytes"), ["n1", "n2"]);
    assert.ok(of("hubble_drop_total").some(({ labels }) => labels.reason === "POLICY_DENIED"));
    assert.ok(of("weft_health").length > 20 && of("weft_health").every(({ value }) => value === 1));
  });

  test("what cannot be asked is said: 2 for a call that is wrong, 1 for a server that is not there", async () => {
    for (const args of [["--verdict", "MAYBE"], ["--to-port", "99999"], ["--ip", "10.0.0"], ["--nonsense"]]) {
      const { code, stderr } = await weft("observe", ...args);
      assert.equal(code, 2, `${args.join(" ")}: ${stderr}`);
      assert.match(stderr, new RegExp(args.at(-1)!.replaceAll(".", "\\.")));
    }
    const { code, stderr } = await weft("observe", "--server", "unix:///run/nobody.sock");
    assert.equal(code, 1);
    assert.match(stderr, /nobody\.sock/);
  });
});

function parse(text: string): Flow[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { flow?: Flow })
    .flatMap(({ flow }) => (flow ? [flow] : []));
}

/** Flows reach the observer up to 100 ms after their packet: asked again until there are some. */
async function observe(...args: string[]): Promise<Flow[]> {
  return await until(`flows: ${args.join(" ")}`, async () => {
    const count = args.includes("--last") ? [] : ["--all"];
    const flows = parse(await weftOk("observe", ...count, ...args, "-o", "jsonpb"));
    return flows.length > 0 && flows;
  });
}

function named(policies: readonly Named[] | undefined): Named[] | undefined {
  return policies?.map(({ name, namespace, kind }) => ({ name, namespace, kind }));
}

function toPort(flow: Flow): number | undefined {
  return flow.l4?.TCP?.destination_port;
}
