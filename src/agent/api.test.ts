// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { dumpRows, startAgentApi, type TableDump } from "#agent/api.ts";
import { agentGet, agentPost } from "#agent/api-client.ts";
import { WeftError } from "#lib/errors.ts";
import { Database } from "#store/table.ts";

const dir = mkdtempSync(join(tmpdir(), "weft-agent-api-"));
const socketPath = join(dir, "agent.sock");
const signal = AbortSignal.timeout(10_000);
const db = new Database();
const cities = db.table<{ name: string; people: bigint }>({
  name: "cities",
  key: (row) => row.name,
  columns: [
    { name: "NAME", of: (row) => row.name },
    { name: "PEOPLE", of: (row) => Number(row.people), wide: true },
  ],
});
let ready = false;
let api: AsyncDisposable;

before(async () => {
  db.write((tx) => tx.put(cities, { name: "Ulm", people: 126_000n }));
  api = await startAgentApi({
    socketPath,
    db,
    status: () => ({
      node: "n1",
      version: "0",
      pid: 1,
      ready,
      uptimeSec: 0,
      rssBytes: 0,
      settings: {},
      health: [],
      counts: {},
    }),
    actions: {
      async double(body) {
        const { n } = body as { n?: number };
        if (n === undefined) throw new WeftError("E_NUMBER", "no number", { hint: "say n" });
        return { n: 2 * n };
      },
    },
    maps: { nat: () => dumpRows("nat", [{ name: "N", of: (row: number) => row }], [1, 2]) },
  });
});
after(async () => {
  await api[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

test("tables and maps are read by name", async () => {
  assert.deepEqual(await agentGet<TableDump>(socketPath, "/v1/db/cities", signal), {
    name: "cities",
    columns: [
      { name: "NAME", wide: false },
      { name: "PEOPLE", wide: true },
    ],
    rows: [["Ulm", 126_000]],
  });
  assert.deepEqual(await agentGet(socketPath, "/v1/bpf", signal), ["nat"]);
  assert.deepEqual((await agentGet<TableDump>(socketPath, "/v1/bpf/nat", signal)).rows, [[1], [2]]);
});

for (const path of [
  "/v1/db/no%20such",
  "/v1/db",
  "/v1/bpf/constructor",
  "/v1/bpf/__proto__",
  "/v2/status",
  "/",
])
  test(`nothing is served at ${path}`, async () => {
    await assert.rejects(agentGet(socketPath, path, signal), { code: "E_NOT_FOUND" });
  });

test("an agent that is not ready is not healthy", async () => {
  const status = () =>
    new Promise((resolve, reject) => {
      const call = request({ socketPath, path: "/v1/healthz" }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      call.once("error", reject).end();
    });
  assert.equal(await status(), 503);
  ready = true;
  assert.equal(await status(), 200);
});

test("only root can open the socket, and nothing can be changed over it", async () => {
  assert.equal(statSync(socketPath).mode & 0o777, 0o600);
  const status = await new Promise((resolve, reject) => {
    const call = request({ socketPath, path: "/v1/status", method: "POST" }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    call.once("error", reject).end();
  });
  assert.equal(status, 405);
});

test("what is no agent is named", async () => {
  const missing = join(dir, "missing.sock");
  await assert.rejects(agentGet(missing, "/v1/status", signal), {
    code: "E_AGENT",
    message: `no agent answers on ${missing}`,
  });
  const other = join(dir, "other.sock");
  await using server = createServer((_request, response) => response.writeHead(404).end());
  await new Promise<void>((resolve) => server.listen(other, resolve));
  await assert.rejects(agentGet(other, "/v1/status", signal), {
    code: "E_AGENT",
    message: `what answers on ${other} is no agent`,
  });
});

test("an action gets what is posted, and its refusal reaches the asker", async () => {
  const ask = (path: string, body: unknown) => agentPost(socketPath, { path, body }, signal);
  assert.deepEqual(await ask("/v1/double", { n: 21 }), { n: 42 });
  await assert.rejects(ask("/v1/double", {}), { code: "E_NUMBER", message: "no number", hint: "say n" });
  await assert.rejects(ask("/v1/status", {}), { code: "E_METHOD" });
  await assert.rejects(ask("/v1/double", "x".repeat(17 * 2 ** 20)), { code: "E_TOO_LONG" });
});
