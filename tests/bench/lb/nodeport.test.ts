// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { compareWires, wireFigures } from "./nodeport.ts";
import type { FlowKind, Wire, WireWindow } from "./wire.ts";

/** A wire whose windows are given by their number. */
function fake(name: string, window: (sent: number, kind: FlowKind) => WireWindow): Wire {
  let sent = 0;
  return { name, send: (kind) => Promise.resolve(window(sent++, kind)), [Symbol.dispose]: () => {} };
}

const whole = (cpuNs: number): WireWindow => ({ cpuNs, delivered: 1 });
const options = { signal: new AbortController().signal, progress: () => {} };

test("ratios are of windows of one round, not of medians", async () => {
  // The machine gets slower with each round; what one wire costs beside the other does not.
  const base = fake("proxy", (sent) => whole(1000 * (1 + sent)));
  const wire = fake("Weft", (sent) => whole(250 * (1 + sent)));
  const figures = await compareWires([{ wire, base }], { ...options, rounds: 5 });
  const ratios = figures.filter(({ unit }) => unit === "ratio");
  assert.equal(ratios.length, 2);
  for (const { median, q1, q3, control, rounds } of ratios)
    assert.deepEqual(
      { median, q1, q3, control, rounds },
      { median: 0.25, q1: 0.25, q3: 0.25, control: "proxy", rounds: 5 },
    );
});

test("the round that makes flows known does not count", async () => {
  const [base, wire] = ["proxy", "Weft"].map((name) => fake(name, (sent) => whole(sent < 2 ? 1e9 : 100)));
  const figures = await compareWires([{ wire: wire!, base: base! }], { ...options, rounds: 3 });
  for (const one of figures.filter(({ unit }) => unit === "ns")) assert.equal(one.q3, 100);
});

test("packets that are lost are an error, not a low figure", () => {
  const wire = fake("Weft", () => whole(1));
  const lossy = { cpuNs: 1, delivered: 0.5 };
  const seen = new Map([[wire, { "known flows": [whole(1)], "a new flow per packet": [lossy, lossy] }]]);
  assert.throws(
    () => wireFigures([], seen),
    /Weft, a new flow per packet: 50 % of the packets came out again/,
  );
});

test("a run that is stopped sends no more", async () => {
  const stop = AbortSignal.abort(new Error("stopped"));
  const wire = fake("Weft", () => assert.fail("sent"));
  await assert.rejects(
    compareWires([{ wire, base: wire }], { ...options, signal: stop, rounds: 3 }),
    /stopped/,
  );
});
