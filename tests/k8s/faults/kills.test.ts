// SPDX-License-Identifier: Apache-2.0
/** Agents, operator and the shims above agents are killed at random times while pods come and go: nothing leaks, nothing denied passes. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { weftCluster } from "../cluster/weft.ts";
import { type LoadClients, startLoad } from "../load/clients.ts";
import { reportText } from "../load/report.ts";
import { killOn, killShimOn, weftPods, weftReady } from "./agents.ts";
import { Churn } from "./churn.ts";
import { clusterObjects, nothingLeaks } from "./node-state.ts";
import { assertNothingLost } from "./verdict.ts";

/** Five minutes; `WEFT_KILLS_SEC` says otherwise. */
const seconds = Number(process.env["WEFT_KILLS_SEC"] ?? 300);
const seed = Number(process.env["WEFT_SEED"] ?? Date.now() % 1_000_000);
const cluster = await weftCluster();

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

suite(`kill -9 at random times for ${seconds} s, seed ${seed}`, () => {
  let load: LoadClients;

  before(async () => {
    await weftReady(cluster);
    load = await startLoad(cluster);
  });
  after(async () => {
    await load?.[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  test("traffic goes on, pods come up, nothing is left over", async () => {
    const random = randomFrom(seed);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
    const objects = await clusterObjects(cluster);
    const kills: Record<string, number> = { agent: 0, operator: 0, shim: 0 };
    const fromMs = Date.now();
    {
      await using churn = await Churn.start(cluster, random);
      while (Date.now() - fromMs < seconds * 1_000) {
        await delay(1_000 + random() * 5_000);
        const what = pick(["agent", "agent", "operator", "shim"]);
        const node = pick(cluster.nodes);
        const operator =
          what === "operator" ? (await weftPods(cluster, "weft-operator"))[0]?.node : undefined;
        const killed =
          what === "operator"
            ? operator !== undefined && (await killOn(cluster, operator, "weft-operator"))
            : what === "shim"
              ? await killShimOn(cluster, node)
              : await killOn(cluster, node);
        if (killed) kills[what]!++;
      }
      console.log(`killed: ${JSON.stringify(kills)}; pods made meanwhile: ${churn.made}`);
    }
    await weftReady(cluster, 330_000);
    const reports = await load.report({ fromMs, toMs: Date.now() });
    console.log(reportText(reports));
    assertNothingLost(reports);
    assert.ok(kills["agent"]! + kills["shim"]! > 0 && (seconds < 200 || kills["operator"]! > 0));
    await nothingLeaks(cluster, 120_000);
    assert.deepEqual((await clusterObjects(cluster)).podCidrs, objects.podCidrs);
  });
});
