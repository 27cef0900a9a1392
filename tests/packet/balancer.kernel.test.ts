// SPDX-License-Identifier: Apache-2.0
/** The matrix of the balancer: each scenario for both families, at each hook, with a backend here and on another node. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ConfigFlag } from "#datapath/layouts/enums.ts";
import { nodeConfigLayout } from "#datapath/layouts/node-config.ts";
import { encode } from "#kernel/bpf/typed-map.ts";
import { type Balancer, Case, families, hooks, makeNodes, places } from "#kit/balancer.ts";
import { hookSockets } from "#kit/socket-hook.ts";
import { type Cell, type Row, scenarios } from "./balancer-scenarios.ts";

const stack = new AsyncDisposableStack();
let balancer: Balancer;

before(() => {
  const { node, other } = makeNodes("matrix");
  stack.use(node);
  stack.use(other);
  const none = nodeConfigLayout.read(new DataView(new ArrayBuffer(nodeConfigLayout.size)), 0);
  const sockets = stack.use(
    hookSockets(node, encode(nodeConfigLayout, { ...none, flags: ConfigFlag.refuse })),
  );
  balancer = { node, other, connect: sockets.connect, [Symbol.asyncDispose]: () => stack.disposeAsync() };
});
after(() => stack.disposeAsync());

const cellsOf = (row: Row) =>
  hooks.flatMap((hook) =>
    places.map((place) => {
      const found = row[hook];
      const cell: Cell = typeof found !== "function" && "local" in found ? found[place] : found;
      return { hook, place, cell };
    }),
  );

for (const [feature, row] of Object.entries(scenarios))
  describe(feature, () => {
    for (const { hook, place, cell } of cellsOf(row)) {
      if (typeof cell !== "function") continue;
      for (const family of families)
        it(`${hook}, ${place} backend, ${family}`, () => cell(new Case(balancer, family, hook, place)));
    }
  });

it("every cell is there, or says why not", (t) => {
  for (const [feature, row] of Object.entries(scenarios)) {
    const cells = cellsOf(row);
    assert.equal(cells.length, hooks.length * places.length, feature);
    for (const { cell } of cells) if (typeof cell !== "function") assert.match(cell.not, /\w+ \w+ \w+/);
    assert.ok(
      cells.some(({ cell }) => typeof cell === "function"),
      feature,
    );
    t.diagnostic(`${cells.map(({ cell }) => (typeof cell === "function" ? "x" : ".")).join("")}  ${feature}`);
  }
});
