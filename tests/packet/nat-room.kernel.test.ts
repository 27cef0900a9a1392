// SPDX-License-Identifier: Apache-2.0
/** Mappings lie in sets: that one set is full breaks no connection while there is room elsewhere. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { at, TestNode } from "#kit/datapath.ts";
import { buildPacket, Proto, readPacket } from "#kit/packet.ts";

const PORT = 30_080;
const BACKENDS = ["10.0.2.5", "10.0.2.6", "10.0.2.7", "10.0.2.8"];
/** Mappings of a third of all places. Were it chance alone, two a flow, some 300 of these flows would meet a full set. */
const FLOWS = 20_000;
/** By the same arithmetic none has to go: a set and both its neighbours would have to be full, or three sets in a row. */
const LOST_AT_MOST = 3;

describe("room for mappings", () => {
  let node: TestNode;
  before(() => {
    node = TestNode.create("natroom", { routing: "native", config: { natPortMin: 49_152 } });
    for (const backend of BACKENDS) node.identify(`${backend}/32`, 2005);
    // One backend each: a flow leads to the same, whether or not the connection table has forgotten it.
    for (const [i, address] of BACKENDS.entries())
      node.service({
        id: i + 1,
        address: at.v4.node,
        port: PORT + i,
        proto: Proto.udp,
        type: "NodePort",
        backends: [{ id: i + 1, address, port: 8080 }],
      });
  });
  after(() => node[Symbol.dispose]());

  /** By which port, and to whom, the flow's packet goes on. */
  const ask = (flow: number) => {
    const { bytes } = node.fromDevice(
      buildPacket({
        from: `198.51.${100 + (flow >> 8)}.${flow & 255}`,
        to: at.v4.node,
        transport: { kind: "udp", sport: 1024 + flow, dport: PORT + (flow % BACKENDS.length) },
      }),
    );
    const { destination, sport } = readPacket(bytes);
    return { to: destination, sport };
  };

  it("20,000 flows at once keep their ports", () => {
    const flows = Array.from({ length: FLOWS }, (_, flow) => flow);
    const first = flows.map(ask);
    const again = flows.map(ask);
    const lost = flows.filter((flow) => first[flow]!.sport !== again[flow]!.sport);
    assert.ok(lost.length <= LOST_AT_MOST, `${lost.length} of ${FLOWS} flows have another port`);
    const ends = new Set(again.map(({ to, sport }) => `${to} ${sport}`));
    assert.equal(ends.size, FLOWS, "each its own");
    const keys = Array.from(node.nat.entries(), ([key]) => key);
    assert.ok(keys.length >= 2 * (FLOWS - LOST_AT_MOST), `${keys.length} mappings`);
    assert.deepEqual(
      keys.filter((key) => !node.nat.get(key)),
      [],
      "user space looks where the programs do",
    );
  });
});
