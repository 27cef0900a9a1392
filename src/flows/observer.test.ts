// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Health } from "#api/gen/health/health_pb.ts";
import {
  type GetFlowsRequestSchema,
  type GetFlowsResponse,
  Observer,
} from "#api/gen/observer/observer_pb.ts";
import { Peer } from "#api/gen/peer/peer_pb.ts";
import type { EventFields } from "#kit/flow-events.ts";
import { shop, type TestStore, testStore } from "#kit/flow-store.ts";
import { GrpcClient } from "#kit/grpc-client.ts";
import { nodeObserver } from "./observer.ts";
import { peerService } from "./peer.ts";
import { startRpcServer } from "./server.ts";

const second = 1_000_000_000n;
const base = 1_700_000_000n * second;
const { getFlows } = Observer.method;

interface Served extends TestStore, AsyncDisposable {
  readonly client: GrpcClient;
  readonly unix: string;
  flows(request: MessageInitShape<typeof GetFlowsRequestSchema>): Promise<number[]>;
}

/** A store of ten TCP packets, a second apart, with destination ports 1 to 10, served on a socket and a port. */
async function serve(capacity = 1_023, count = 10): Promise<Served> {
  const directory = mkdtempSync(join(tmpdir(), "flows-"));
  const unix = join(directory, "observer.sock");
  const made = testStore(capacity);
  made.update(shop);
  made.add(...Array.from({ length: count }, (_, i): EventFields => packet(i + 1)));
  const server = await startRpcServer(
    { unix, tcp: { host: "127.0.0.1", port: 0 } },
    { observer: nodeObserver(made.store), peer: peerService(made.store.directory) },
  );
  const client = new GrpcClient(`127.0.0.1:${server.tcpPort}`);
  return {
    ...made,
    client,
    unix,
    flows: async (request) => (await client.stream(getFlows, request)).map(portOf),
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true });
    },
  };
}

function packet(port: number, more: EventFields = {}): EventFields {
  return { timeNs: base + BigInt(port) * second, sport: 40_000, dport: port, tcpFlags: 2, ...more };
}

function portOf({ responseTypes }: GetFlowsResponse): number {
  assert.equal(responseTypes.case, "flow");
  const protocol = responseTypes.value.l4?.protocol;
  assert.equal(protocol?.case, "TCP");
  return protocol.value.destinationPort;
}

function at(seconds: number) {
  return { seconds: base / second + BigInt(seconds), nanos: 0 };
}

test("number, first, since and until choose from the ring, oldest flow first", async () => {
  await using served = await serve();
  assert.deepEqual(await served.flows({}), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(await served.flows({ number: 3n }), [8, 9, 10]);
  assert.deepEqual(await served.flows({ number: 3n, first: true }), [1, 2, 3]);
  assert.deepEqual(await served.flows({ number: 0xffff_ffff_ffff_ffffn }), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(await served.flows({ since: at(8) }), [8, 9, 10]);
  assert.deepEqual(await served.flows({ since: at(3), number: 2n }), [3, 4]);
  assert.deepEqual(await served.flows({ until: at(3) }), [1, 2, 3]);
  assert.deepEqual(await served.flows({ since: at(4), until: at(6) }), [4, 5, 6]);
  assert.deepEqual(await served.flows({ until: at(6), number: 2n }), [5, 6]);
});

test("number counts flows that pass the filter", async () => {
  await using served = await serve();
  assert.deepEqual(
    await served.flows({ number: 2n, whitelist: [{ destinationPort: ["3", "5", "7"] }] }),
    [5, 7],
  );
  assert.deepEqual(await served.flows({ number: 2n, blacklist: [{ destinationPort: ["10"] }] }), [8, 9]);
});

test("follow passes on what comes, after the old ones asked for", async () => {
  await using served = await serve();
  const following = served.client.stream(getFlows, { follow: true, number: 1n }, (answers) => {
    if (answers.length === 1) served.add(packet(11), packet(12));
    return answers.length === 3;
  });
  assert.deepEqual((await following).map(portOf), [10, 11, 12]);
});

test("a ring that wrapped serves what it still holds", async () => {
  await using served = await serve(7, 10);
  assert.deepEqual(await served.flows({}), [4, 5, 6, 7, 8, 9, 10]);
});

test("notes of lost events come between the flows, unfiltered and uncounted", async () => {
  await using served = await serve(1_023, 2);
  served.ingest.lost(5, 1);
  served.add(packet(3));
  const answers = await served.client.stream(getFlows, { number: 2n });
  assert.deepEqual(
    answers.map(({ responseTypes }) => responseTypes.case),
    ["flow", "lostEvents", "flow"],
  );
  const lost = answers[1]!.responseTypes;
  assert.ok(lost.case === "lostEvents" && lost.value.numEventsLost === 5n && lost.value.source === 1);
});

test("a request that cannot be answered is an InvalidArgument that says why", async () => {
  await using served = await serve();
  const refused = (request: MessageInitShape<typeof GetFlowsRequestSchema>, reason: RegExp) =>
    assert.rejects(
      served.flows(request),
      (error: Error & { code?: number }) =>
        // This client does not take all percent signs off the message.
        error.code === 3 && reason.test(decodeURIComponent(error.message)),
    );
  await refused({ first: true, follow: true }, /first cannot be combined with follow/);
  await refused({ whitelist: [{ httpMethod: ["GET"] }] }, /http_method/);
  await refused({ whitelist: [{ sourceIp: ["10.0.0.300"] }] }, /source_ip: "10\.0\.0\.300"/);
  await refused({ whitelist: [{ experimental: { celExpression: ["true"] } }] }, /experimental/);
  await refused({ fieldMask: { paths: ["source.nothing"] } }, /source\.nothing/);
});

test("a field mask leaves only what it names", async () => {
  await using served = await serve();
  const [answer] = await served.client.stream(getFlows, {
    number: 1n,
    fieldMask: { paths: ["source.pod_name", "verdict"] },
  });
  const flow = answer!.responseTypes;
  assert.ok(flow.case === "flow");
  assert.equal(flow.value.source?.podName, "client-xyz");
  assert.deepEqual(
    [flow.value.source.namespace, flow.value.destination, flow.value.verdict],
    ["", undefined, 1],
  );
});

test("status, namespaces, what a node does not have, and the socket's mode", async () => {
  await using served = await serve();
  const status = await served.client.unary(Observer.method.serverStatus, {});
  assert.deepEqual(
    [status.numFlows, status.maxFlows, status.seenFlows, status.version],
    [10n, 1023n, 10n, "weft test"],
  );
  const { namespaces } = await served.client.unary(Observer.method.getNamespaces, {});
  assert.deepEqual(
    namespaces.map(({ cluster, namespace }) => [cluster, namespace]),
    [["test", "shop"]],
  );
  await assert.rejects(served.client.unary(Observer.method.getNodes, {}), { code: 12 });
  await assert.rejects(served.client.stream(Observer.method.getAgentEvents, {}), { code: 12 });
  assert.equal(statSync(served.unix).mode & 0o777, 0o600);
  using local = new GrpcClient(`unix:${served.unix}`);
  assert.equal((await local.unary(Observer.method.serverStatus, {})).seenFlows, 10n);
});

test("the health of the services, as `hubble status` asks", async () => {
  await using served = await serve();
  const { check, watch } = Health.method;
  const status = async (service: string) => (await served.client.unary(check, { service })).status;
  assert.deepEqual(
    [
      await status(""),
      await status("observer.Observer"),
      await status("hubble.server.Observer"),
      await status("peer.Peer"),
    ],
    [1, 1, 1, 1],
  );
  await assert.rejects(status("nothing"), { code: 5 });
  assert.equal((await served.client.stream(watch, {}, (answers) => answers.length === 1))[0]?.status, 1);
});

test("peers are named, then their changes", async () => {
  await using served = await serve();
  const node = (name: string, address: string) => ({ key: name, name: `test/${name}`, address });
  served.update({ peers: { put: [node("n1", "10.9.0.1:4244"), node("n2", "10.9.0.2:4244")], delete: [] } });
  const heard = await served.client.stream(Peer.method.notify, {}, (answers) => {
    if (answers.length === 2)
      served.update({ peers: { put: [node("n2", "10.9.0.9:4244")], delete: ["n1"] } });
    return answers.length === 4;
  });
  assert.deepEqual(
    heard.map(({ name, address, type }) => [name, address, type]),
    [
      ["test/n1", "10.9.0.1:4244", 1],
      ["test/n2", "10.9.0.2:4244", 1],
      ["test/n1", "10.9.0.1:4244", 2],
      ["test/n2", "10.9.0.9:4244", 3],
    ],
  );
});
