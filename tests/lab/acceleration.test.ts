// SPDX-License-Identifier: Apache-2.0
/** Connections between pods of a node past the network, with the agent: who takes part, policy, restart, a pod that goes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { BpfMap } from "#kernel/bpf/map.ts";
import { agentReady, killAgent } from "#kit/lab-agent.ts";
import { scrape } from "#kit/lab-metrics.ts";
import { PodClient } from "#kit/lab-pod.ts";
import { labBpfDir, until, weftJson } from "#kit/lab-run.ts";
import { kubectlOk, podOf, useLab } from "#kit/lab-use.ts";

suite("acceleration.sockmap: annotated", () => {
  const lab = useLab({ nodes: 1, files: ["pair.yaml"], settings: ["acceleration.sockmap=annotated"] });
  let client: PodClient;
  let address: string;

  before(async () => {
    client = await PodClient.start("pair/client");
    address = podOf(lab.status, "pair", "server").ips[0]!;
  });
  after(() => client?.[Symbol.dispose]());

  /** Messages that went this way since the maps were made. */
  const messages = async (way: "past" | "network") => {
    const samples = await scrape(lab.status.metrics);
    const found = samples.filter(
      ({ name, labels }) => name === "weft_sockmap_messages_total" && labels["way"] === way,
    );
    return found.reduce((sum, { value }) => sum + value, 0);
  };
  const moreGoPast = async () => {
    const before = await messages("past");
    await until("more to go past the network", async () => (await messages("past")) > before + 10);
  };
  const elements = (name: string) => {
    using map = BpfMap.openPinned(join(labBpfDir, "n1/maps", name));
    return [...map.keys()].length;
  };
  const transfer = async () => (await client.call("start", { kind: "transfer", address, port: 8080 })).load;
  const idleMs = async (load: number) => (await client.call("look", { load })).idleMs;
  const annotate = (pod: string, value: string) =>
    kubectlOk(["-n", "pair", "annotate", "pod", pod, `weft.io/sockmap${value}`]);

  test("takes connections between two pods that have the annotation, as it comes and goes", async () => {
    assert.equal((await client.call("http", { host: address, port: 8080 })).outcome, "answered");
    assert.equal(elements("sock_pods"), 0);
    await annotate("client", "=true");
    await until("the client to take part", () => elements("sock_pods") === 1);
    assert.equal((await client.call("http", { host: address, port: 8080 })).outcome, "answered");
    assert.equal((await messages("past")) + (await messages("network")), 0, "one end is not enough");
    await annotate("server", "=true");
    await until("both to take part", () => elements("sock_pods") === 2);
    const load = await transfer();
    await moreGoPast();
    await annotate("client", "-");
    await until("the client to take part no more", () => elements("sock_pods") === 1);
    await moreGoPast();
    const { lost } = await client.call("stop", { load });
    assert.deepEqual(lost, []);
    await until("the connection to be gone", () => elements("sock_ends") === 0);
    await annotate("client", "=true");
    await until("both to take part again", () => elements("sock_pods") === 2);
  });

  test("tells of it in its status", async () => {
    const [status] =
      await weftJson<{ settings: Record<string, string>; counts: Record<string, number> }[]>("status");
    assert.equal(status?.settings["acceleration"], "annotated");
    assert.ok((status?.counts["messages past the network"] ?? 0) > 0);
  });

  test("loses nothing when the agent is killed, and goes on past the network", async () => {
    const load = await transfer();
    await moreGoPast();
    await killAgent("n1");
    await agentReady("n1");
    await moreGoPast();
    const { lost } = await client.call("stop", { load });
    assert.deepEqual(lost, []);
  });

  test("stops with the policy, and goes on with it", async () => {
    const load = await transfer();
    await moreGoPast();
    await kubectlOk(["apply", "-f", "-"], { input: denyServer });
    await until("the connection to stand still", async () => (await idleMs(load)) > 300);
    await kubectlOk(["-n", "pair", "delete", "networkpolicy", "nobody"]);
    await until("the connection to go on", async () => (await idleMs(load)) < 100);
    await moreGoPast();
    const { lost } = await client.call("stop", { load });
    assert.deepEqual(lost, []);
  });

  test("ends with the pod, of which nothing is left", async () => {
    const load = await transfer();
    await moreGoPast();
    await kubectlOk(["-n", "pair", "delete", "pod", "server", "--timeout=20s"], { timeoutMs: 25_000 });
    await until("its address to be nobody's", () => elements("sock_pods") === 1);
    const { lost } = await client.call("stop", { load });
    assert.ok(lost.includes("the connection was closed"), lost.join("; "));
    await until("the connections to be gone", () => elements("sock_ends") === 0);
  });
});

const denyServer = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nobody, namespace: pair}
spec: {podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}
`;
