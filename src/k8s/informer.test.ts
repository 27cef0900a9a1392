// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { pino } from "pino";
import { createKubeClient } from "#k8s/client.ts";
import { reflect } from "#k8s/reflect.ts";
import type { KubeObject } from "#k8s/resource.ts";
import { type FakeClock, fakeClock, idle } from "#kit/clock.ts";
import { createHealth } from "#lib/health.ts";
import { Database } from "#store/table.ts";

type Handler = (answer: ServerResponse, query: URLSearchParams) => void;

interface Thing extends KubeObject {
  readonly value?: number;
}

/** An API server that answers each request with the next handler of its script, and a reflector that follows `things` there. */
async function world(script: Handler[], options: { idleMs?: number } = {}) {
  const requests: string[] = [];
  const sockets = new Set<ServerResponse>();
  const arrived: (() => void)[] = [];
  const server = createServer((request: IncomingMessage, answer) => {
    const url = new URL(request.url!, "http://x");
    const query = url.searchParams;
    const kind = query.get("sendInitialEvents")
      ? "watchlist"
      : query.get("watch")
        ? `watch@${query.get("resourceVersion")}`
        : "list";
    requests.push(query.get("continue") ? `${kind}+${query.get("continue")}` : kind);
    sockets.add(answer);
    answer.on("close", () => sockets.delete(answer));
    const handler = script.shift();
    if (handler) handler(answer, query);
    else send(answer);
    for (const wake of arrived.splice(0)) wake();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = createKubeClient({
    server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    namespace: "default",
    insecure: false,
    token: async () => undefined,
  });
  const db = new Database();
  const table = db.table<{ key: string; value: number }>({
    name: "things",
    key: (row) => row.key,
    columns: [],
  });
  const clock: FakeClock = fakeClock();
  const health = createHealth();
  const refused: string[] = [];
  const stack = new AsyncDisposableStack();
  stack.defer(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  stack.use(client);
  stack.use(
    reflect<Thing, { key: string; value: number }>({
      client,
      db,
      table,
      health,
      clock,
      resource: { group: "weft.test", version: "v1", plural: "things" },
      toRow(object) {
        if (object.value === undefined) throw new Error("no value");
        return { key: object.metadata!.name!, value: object.value };
      },
      signal: AbortSignal.timeout(30_000),
      log: pino({ level: "silent" }),
      random: () => 0,
      onRefused: (key, problem) =>
        refused.push(`${key}: ${problem instanceof Error ? problem.message : "fine"}`),
      ...options,
    }),
  );
  return {
    table,
    clock,
    requests,
    health,
    refused,
    rows: () =>
      [...table.all()]
        .map((row) => `${row.key}=${row.value}`)
        .sort()
        .join(" "),
    /** Goes on, moving the clock by each wait, until the condition holds; fails after 5 s. */
    async until(condition: () => boolean) {
      const limit = performance.now() + 5000;
      while (!condition()) {
        assert.ok(performance.now() < limit, `not reached; requests: ${requests.join(" ")}`);
        await Promise.race([new Promise<void>((resolve) => arrived.push(resolve)), idle(20)]);
      }
    },
    line: () => health.rows().find((row) => row.name === "k8s/things.weft.test"),
    cut: () => {
      for (const answer of sockets) answer.destroy();
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const thing = (name: string, rv: number, value = rv): Thing => ({
  metadata: { name, resourceVersion: String(rv) },
  value,
});
const event = (type: string, object: unknown) => `${JSON.stringify({ type, object })}\n`;
const added = (name: string, rv: number) => event("ADDED", thing(name, rv));
const bookmark = (rv: number, initialEnd = false) =>
  event("BOOKMARK", {
    metadata: {
      resourceVersion: String(rv),
      annotations: initialEnd ? { "k8s.io/initial-events-end": "true" } : {},
    },
  });
/** Opens a stream with these lines and leaves it open. */
function send(answer: ServerResponse, ...lines: string[]): ServerResponse {
  answer.writeHead(200, { "content-type": "application/json" });
  answer.flushHeaders();
  for (const line of lines) answer.write(line);
  return answer;
}
const list = (items: Thing[], rv: number, more?: string) => (answer: ServerResponse) => {
  answer.end(
    JSON.stringify({
      kind: "ThingList",
      items,
      metadata: { resourceVersion: String(rv), ...(more && { continue: more }) },
    }),
  );
};
const status =
  (code: number, reason = "x") =>
  (answer: ServerResponse) => {
    answer.writeHead(code);
    answer.end(JSON.stringify({ kind: "Status", code, reason, message: reason }));
  };

test("WatchList: initial events, then changes", async () => {
  let stream: ServerResponse | undefined;
  await using w = await world([
    (answer) => {
      stream = send(answer, added("a", 1), added("b", 2));
    },
  ]);
  await w.until(() => stream !== undefined);
  await idle(20);
  assert.deepEqual([w.table.size, w.table.isReady], [0, false], "half a list is none");
  stream!.write(bookmark(5, true));
  await w.table.ready;
  assert.equal(w.rows(), "a=1 b=2");
  stream!.write(
    event("MODIFIED", thing("a", 6)) + event("DELETED", thing("b", 7)) + added("c", 8).slice(0, 20),
  );
  await w.until(() => w.rows() === "a=6");
  stream!.write(added("c", 8).slice(20));
  await w.until(() => w.rows() === "a=6 c=8");
  assert.equal(w.line()?.message, "OK, 2 object(s)");
});

test("a cut stream goes on from the last version, after a bookmark from that", async () => {
  await using w = await world([
    (answer) => send(answer, added("a", 1), bookmark(1, true), bookmark(40)),
    (answer) => send(answer, added("b", 41)),
  ]);
  await w.table.ready;
  await idle(20);
  w.cut();
  await w.until(() => w.clock.pending().includes(100));
  await w.clock.advance(100);
  await w.until(() => w.rows() === "a=1 b=41");
  assert.deepEqual(w.requests, ["watchlist", "watch@40"]);
});

test("a server without WatchList gets a paged list and a watch", async () => {
  await using w = await world([
    status(422, "Invalid"),
    list([thing("a", 1)], 10, "page2"),
    list([thing("b", 2)], 10),
    (answer) => send(answer, added("c", 11)),
  ]);
  await w.until(() => w.clock.pending().includes(100));
  await w.clock.advance(100);
  await w.until(() => w.rows() === "a=1 b=2 c=11");
  assert.deepEqual(w.requests, ["watchlist", "list", "list+page2", "watch@10"]);
});

test("a server that says in the stream that its etcd is too old for WatchList gets a list at once", async () => {
  const refusal = event("ERROR", { kind: "Status", code: 500, reason: "InternalError", message: "too old" });
  await using w = await world([(answer) => send(answer, refusal), list([thing("a", 1)], 10)]);
  await w.until(() => w.clock.pending().includes(100));
  await w.clock.advance(100);
  await w.table.ready;
  assert.deepEqual(w.requests.slice(0, 2), ["watchlist", "list"]);
});

test("a server that ignores WatchList and never ends the initial events gets a list in the end", async () => {
  const silent: Handler = (answer) => send(answer, added("a", 1));
  await using w = await world([silent, silent, list([thing("a", 1)], 10)]);
  while (!w.table.isReady) {
    await w.until(() => w.table.isReady || w.clock.pending().length > 0);
    if (!w.table.isReady) await w.clock.advance(w.clock.pending()[0]!);
  }
  assert.deepEqual(w.requests.slice(0, 3), ["watchlist", "watchlist", "list"]);
});

test("410: listed anew, what vanished meanwhile is taken away, nothing before that", async () => {
  await using w = await world([
    (answer) => send(answer, added("a", 1), added("b", 2), bookmark(2, true)),
    status(410, "Expired"),
    (answer) => send(answer, added("b", 9), bookmark(9, true)),
  ]);
  await w.table.ready;
  w.cut();
  await w.until(() => w.clock.pending().includes(100));
  await w.clock.advance(100);
  await w.until(() => w.clock.pending().includes(100));
  assert.equal(w.rows(), "a=1 b=2");
  await w.clock.advance(100);
  await w.until(() => w.rows() === "b=9");
  assert.deepEqual(w.requests, ["watchlist", "watch@2", "watchlist"]);
});

test("410 inside the stream does the same", async () => {
  await using w = await world([
    (answer) =>
      send(answer, added("a", 1), bookmark(1, true), event("ERROR", { code: 410, reason: "Expired" })),
    (answer) => send(answer, bookmark(9, true)),
  ]);
  await w.until(() => w.clock.pending().includes(100));
  await w.clock.advance(100);
  await w.until(() => w.table.isReady && w.rows() === "");
  assert.deepEqual(w.requests, ["watchlist", "watchlist"]);
});

test("a server that was set up anew (its versions are lower) is listed anew", async () => {
  await using w = await world([
    (answer) => send(answer, added("a", 90), bookmark(90, true)),
    (answer) => send(answer, bookmark(3)),
    (answer) => send(answer, added("b", 2), bookmark(3, true)),
    status(504, "Too large resource version: 3, current: 1"),
    (answer) => send(answer, bookmark(1, true)),
  ]);
  await w.table.ready;
  for (const rows of ["b=2", ""]) {
    w.cut();
    while (w.rows() !== rows) {
      await w.until(() => w.rows() === rows || w.clock.pending().some((ms) => ms < 1000));
      if (w.rows() !== rows) await w.clock.advance(1000);
    }
  }
  assert.deepEqual(w.requests, ["watchlist", "watch@90", "watchlist", "watch@3", "watchlist"]);
});

test("a garbage line: what came before it counts, and the watch goes on from there", async () => {
  await using w = await world([
    (answer) => send(answer, bookmark(1, true), `${added("a", 2)}{"type": garbage\n${added("b", 3)}`),
    (answer) => send(answer, added("b", 3)),
  ]);
  await w.until(() => w.clock.pending().includes(100));
  await w.clock.advance(100);
  await w.until(() => w.rows() === "a=2 b=3");
  assert.deepEqual(w.requests, ["watchlist", "watch@2"]);
});

test("silence is given up, and the watch resumed", async () => {
  await using w = await world([(answer) => send(answer, added("a", 1), bookmark(1, true))], { idleMs: 5000 });
  await w.table.ready;
  await w.until(() => w.clock.pending().includes(5000));
  await w.clock.advance(5000);
  await w.until(() => w.clock.pending().includes(100));
  await w.clock.advance(100);
  await w.until(() => w.requests.length === 2);
  assert.deepEqual([w.requests[1], w.rows()], ["watch@1", "a=1"]);
});

test("errors and lists cut in the middle delete nothing, back off in growing steps, and show in health", async () => {
  const short: Handler = (answer) => {
    answer.writeHead(200, { "content-length": "1000" });
    answer.write('{"kind":"ThingList","items":[],"metadata":{"resourceVersion":"1"}}');
    answer.destroy();
  };
  const strange: Handler = (answer) => void answer.end("{}");
  await using w = await world([
    status(400),
    list([thing("a", 1), thing("b", 2)], 10),
    status(410),
    list([thing("a", 1)], 20, "page2"),
    status(410),
    strange,
    short,
    strange,
    strange,
    list([thing("a", 3)], 30),
  ]);
  const waits: number[] = [];
  while (w.rows() !== "a=3") {
    await w.until(() => w.rows() === "a=3" || w.clock.pending().some((ms) => ms < 31_000));
    assert.ok(w.rows() === "" || w.rows() === "a=1 b=2" || w.rows() === "a=3", w.rows());
    const next = w.clock.pending().find((ms) => ms < 31_000);
    if (next === undefined) break;
    waits.push(next);
    await w.clock.advance(next);
    if (waits.length === 4) assert.equal(w.line()?.level, "degraded");
    assert.ok(waits.length < 20);
  }
  await w.until(() => w.line()?.level === "ok");
  assert.deepEqual(waits.slice(0, 3), [100, 200, 400]);
});

test("a watch that ends in order is opened again at once; one that ends at once is not spun on", async () => {
  await using w = await world([
    (answer) => send(answer, bookmark(1, true)),
    (answer) => send(answer, bookmark(2)).end(),
    (answer) => send(answer).end(),
  ]);
  await w.table.ready;
  w.cut();
  await w.until(() => w.clock.pending().includes(100));
  await w.clock.advance(100);
  await w.until(() => w.requests.length === 3 && w.clock.pending().includes(100));
  assert.deepEqual(w.requests, ["watchlist", "watch@1", "watch@2"]);
});

test("an object that cannot be read is refused, reported and left as it was; the rest goes on", async () => {
  let stream: ServerResponse | undefined;
  await using w = await world([
    (answer) => {
      stream = send(
        answer,
        added("a", 1),
        event("ADDED", { metadata: { name: "bad", resourceVersion: "2" } }),
        bookmark(2, true),
      );
    },
  ]);
  await w.table.ready;
  assert.equal(w.rows(), "a=1");
  assert.deepEqual(
    [w.line()?.level, w.line()?.message],
    ["degraded", "Degraded, 1 object(s) refused: bad: no value"],
  );
  stream!.write(
    event("MODIFIED", { metadata: { name: "a", resourceVersion: "3" } }) + event("MODIFIED", thing("bad", 4)),
  );
  await w.until(() => w.rows() === "a=1 bad=4");
  assert.deepEqual(w.refused, ["bad: no value", "a: no value", "bad: fine"]);
  stream!.write(event("DELETED", thing("a", 5)));
  await w.until(() => w.rows() === "bad=4" && w.line()?.level === "ok");
});
