// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type GetFlowsResponse, Observer } from "#api/gen/observer/observer_pb.ts";
import { NodeState } from "#api/gen/relay/relay_pb.ts";
import { shop, type TestStore, testStore } from "#kit/flow-store.ts";
import { GrpcClient } from "#kit/grpc-client.ts";
import { type FanIn, startFanIn } from "./fan-in.ts";
import { nodeObserver } from "./observer.ts";
import { type RpcServer, startRpcServer } from "./server.ts";

const second = 1_000_000_000n;
const base = 1_700_000_000n * second;
const { getFlows, getNodes, serverStatus, getNamespaces } = Observer.method;

interface Cluster extends AsyncDisposable {
  readonly nodes: readonly TestStore[];
  readonly servers: RpcServer[];
  readonly fanIn: FanIn;
  readonly client: GrpcClient;
  readonly socket: (node: number) => string;
}

/** Two nodes and a name without one; flow times are seconds, told by the destination port. */
async function cluster(seconds: readonly (readonly number[])[]): Promise<Cluster> {
  const directory = mkdtempSync(join(tmpdir(), "fan-in-"));
  const socket = (node: number) => join(directory, `n${node}.sock`);
  const nodes = seconds.map((_, i) => testStore(1_023, `test/n${i + 1}`));
  for (const [i, node] of nodes.entries()) {
    node.update(shop);
    node.add(...seconds[i]!.map((at) => ({ timeNs: base + BigInt(at) * second, dport: at })));
  }
  const servers = await Promise.all(nodes.map((node, i) => serve(node, socket(i + 1))));
  const named = [...nodes.keys(), nodes.length].map((i) => ({
    name: `test/n${i + 1}`,
    address: `unix://${socket(i + 1)}`,
  }));
  const fanIn = await startFanIn({
    nodes: named,
    listen: { tcp: { host: "127.0.0.1", port: 0 } },
    version: "weft test",
  });
  const client = new GrpcClient(`127.0.0.1:${fanIn.tcpPort}`);
  return {
    nodes,
    servers,
    fanIn,
    client,
    socket,
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await fanIn[Symbol.asyncDispose]();
      await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
      rmSync(directory, { recursive: true });
    },
  };
}

function serve(node: TestStore, unix: string): Promise<RpcServer> {
  return startRpcServer({ unix }, { observer: nodeObserver(node.store) });
}

function summary({ responseTypes }: GetFlowsResponse): number | string {
  if (responseTypes.case === "nodeStatus")
    return `${responseTypes.value.stateChange} ${responseTypes.value.nodeNames.join()}`;
  assert.equal(responseTypes.case, "flow");
  const { nodeName, l4 } = responseTypes.value;
  assert.ok(nodeName.startsWith("test/n") && l4?.protocol.case === "TCP");
  return l4.protocol.value.destinationPort;
}

const connected = `${NodeState.NODE_CONNECTED} test/n1,test/n2`;
const missing = `${NodeState.NODE_UNAVAILABLE} test/n3`;

test("flows of all nodes come in the order of their times, after what is said of the nodes", async () => {
  await using made = await cluster([
    [1, 4, 5, 9],
    [2, 3, 6, 7],
  ]);
  const answers = await made.client.stream(getFlows, {});
  assert.deepEqual(answers.map(summary), [connected, missing, 1, 2, 3, 4, 5, 6, 7, 9]);
  assert.deepEqual((await made.client.stream(getFlows, { number: 1n })).map(summary), [
    connected,
    missing,
    7,
    9,
  ]);
});

test("following merges what comes, and a node that went is followed again when it is back", async () => {
  await using made = await cluster([[1], [2]]);
  const isError = (answer: GetFlowsResponse) =>
    String(summary(answer)).startsWith(`${NodeState.NODE_ERROR} `);
  let restarted: Promise<void> | undefined;
  const restart = async () => {
    await made.servers[1]![Symbol.asyncDispose]();
    made.servers[1] = await serve(made.nodes[1]!, made.socket(2));
  };
  const answers = await made.client.stream(getFlows, { follow: true, number: 1n }, (heard) => {
    const last = heard.at(-1)!;
    if (heard.length === 4) {
      made.nodes[1]!.add({ timeNs: base + 20n * second, dport: 20 });
      made.nodes[0]!.add({ timeNs: base + 10n * second, dport: 10 });
    }
    if (heard.length === 6) restarted = restart();
    const back = summary(last) === `${NodeState.NODE_CONNECTED} test/n2`;
    if (back && heard.length > 6) made.nodes[1]!.add({ timeNs: base + 30n * second, dport: 30 });
    return summary(last) === 30;
  });
  await restarted;
  const [, , ...rest] = answers.filter((answer) => !isError(answer)).map(summary);
  assert.deepEqual(rest, [1, 2, 10, 20, `${NodeState.NODE_CONNECTED} test/n2`, 30]);
  assert.equal(answers.filter(isError).length, 1);
});

test("who follows hears of nodes that join and leave, and goes on with the others", async () => {
  await using made = await cluster([[1], [2]]);
  const named = (...nodes: readonly number[]) =>
    nodes.map((n) => ({ name: `test/n${n}`, address: `unix://${made.socket(n)}` }));
  made.fanIn.setNodes(named(1));
  const joined = `${NodeState.NODE_CONNECTED} test/n2`;
  const gone = `${NodeState.NODE_GONE} test/n2`;
  const nowNs = BigInt(Date.now()) * 1_000_000n;
  const answers = await made.client.stream(getFlows, { follow: true, number: 1n }, (heard) => {
    const last = summary(heard.at(-1)!);
    if (last === 1) made.fanIn.setNodes(named(1, 2));
    if (last === joined) made.nodes[1]!.add({ timeNs: nowNs + 60n * second, dport: 60 });
    if (last === 60) made.fanIn.setNodes(named(1));
    if (last === gone) made.nodes[0]!.add({ timeNs: nowNs + 70n * second, dport: 70 });
    return last === 70;
  });
  assert.deepEqual(answers.map(summary), [`${NodeState.NODE_CONNECTED} test/n1`, 1, joined, 60, gone, 70]);
  assert.deepEqual(await made.fanIn.check(AbortSignal.timeout(10_000)), { connected: 1, unavailable: [] });
});

test("a clock that is set back by a day stops neither a status nor who follows", async (t) => {
  await using made = await cluster([[1], [2]]);
  const dayMs = 86_400_000;
  const realNow = Date.now;
  const answers = await made.client.stream(getFlows, { follow: true, number: 2n }, (heard) => {
    const last = summary(heard.at(-1)!);
    if (last !== 2) return last === 30;
    t.mock.method(Date, "now", () => realNow() - dayMs);
    made.nodes[1]!.add({ timeNs: BigInt(realNow()) * 1_000_000n, dport: 30 });
    return false;
  });
  assert.deepEqual(answers.map(summary).slice(2), [1, 2, 30]);
  const status = await made.client.unary(serverStatus, {});
  assert.equal(status.numConnectedNodes, 2);
  assert.ok(status.uptimeNs < BigInt(dayMs) * 1_000_000n);
});

test("a request a node refuses is refused", async () => {
  await using made = await cluster([[1], [2]]);
  await assert.rejects(made.client.stream(getFlows, { whitelist: [{ httpMethod: ["GET"] }] }), { code: 3 });
});

test("nodes, namespaces and status are summed up", async () => {
  await using made = await cluster([[1, 2], [3]]);
  const { nodes } = await made.client.unary(getNodes, {});
  assert.deepEqual(
    nodes.map(({ name, state, numFlows }) => [name, state, numFlows]),
    [
      ["test/n1", NodeState.NODE_CONNECTED, 2n],
      ["test/n2", NodeState.NODE_CONNECTED, 1n],
      ["test/n3", NodeState.NODE_UNAVAILABLE, 0n],
    ],
  );
  const status = await made.client.unary(serverStatus, {});
  assert.deepEqual(
    [
      status.numFlows,
      status.maxFlows,
      status.numConnectedNodes,
      status.numUnavailableNodes,
      status.unavailableNodes,
    ],
    [3n, 2046n, 2, 1, ["test/n3"]],
  );
  const { namespaces } = await made.client.unary(getNamespaces, {});
  assert.deepEqual(
    namespaces.map(({ cluster: name, namespace }) => `${name}/${namespace}`),
    ["test/shop"],
  );
});
