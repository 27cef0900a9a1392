// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeClock } from "#kit/clock.ts";
import { createHealth } from "#lib/health.ts";
import { createLogger } from "#lib/log.ts";
import { Database } from "#store/table.ts";
import { startPodLinks } from "./pod-links.ts";
import { type DatapathEndpoint, datapathEndpointTable } from "./table.ts";

const row = (id: number) => ({ endpoint: { id, hostIfindex: 10 + id } }) as DatapathEndpoint;

/** `asked`: which devices links were asked for, and how that ended. */
function world() {
  const db = new Database();
  const endpoints = datapathEndpointTable(db);
  const source = endpoints.source("test");
  const clock = fakeClock();
  const asked: { devices: number[]; signal: AbortSignal }[] = [];
  const held: (() => void)[] = [];
  const links = startPodLinks({
    endpoints,
    link: (ifindexes, signal) => {
      asked.push({ devices: [...ifindexes].toSorted(), signal });
      return new Promise((resolve) => held.push(() => resolve(ifindexes.size)));
    },
    ...{ clock, health: createHealth(), log: createLogger("test", "error") },
    signal: new AbortController().signal,
  });
  return {
    ...{ clock, asked, source },
    put: (...ids: number[]) => db.write((tx) => ids.forEach((id) => void tx.put(endpoints, row(id)))),
    done: () => held.shift()?.(),
    async [Symbol.asyncDispose]() {
      for (const done of held) done();
      await links[Symbol.asyncDispose]();
    },
  };
}

test("pods get links when none has come for a while", async () => {
  await using the = world();
  the.put(1, 2);
  the.source.synced();
  await the.clock.advance(1_900);
  the.put(3);
  await the.clock.advance(1_900);
  assert.deepEqual(the.asked, []);
  await the.clock.advance(200);
  assert.deepEqual(
    the.asked.map(({ devices }) => devices),
    [[11, 12, 13]],
  );
});

test("a pod that comes meanwhile goes first, and a change of policy does not matter", async () => {
  await using the = world();
  the.put(1);
  the.source.synced();
  await the.clock.advance(2_100);
  the.put(1);
  await the.clock.advance(2_100);
  assert.equal(the.asked[0]?.signal.aborted, false);
  the.put(2);
  await the.clock.advance(100);
  assert.equal(the.asked[0]?.signal.aborted, true);
  the.done();
  await the.clock.advance(2_100);
  assert.deepEqual(
    the.asked.map(({ devices }) => devices),
    [[11], [11, 12]],
  );
});
