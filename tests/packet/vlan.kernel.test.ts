// SPDX-License-Identifier: Apache-2.0
/** Frames of a VLAN that the node's device sees are another device's; from pods they are nobody's. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ConfigFlag, DropReason } from "#datapath/layouts/enums.ts";
import { Action, at, type PodFields, TestNode, XdpAction } from "#kit/datapath.ts";
import { buildPacket, Proto, Tcp } from "#kit/packet.ts";

const { node: own, gateway, world } = at.v4;
const client = "198.51.100.9";
const backend = "10.0.2.5";
const address = "10.0.1.7";
const NODE_PORT = 30_080;
const VLAN = 100;
/** Number 0: says a priority, and is of no VLAN. */
const PRIORITY = 3 << 13;

describe("a VLAN's frames", () => {
  let node: TestNode;
  let pod: PodFields;
  let port = 20_000;

  before(() => {
    node = TestNode.create("vlan", { routing: "native", xdp: true, flags: ConfigFlag.hostFirewall });
    node.identify(`${backend}/32`, 2005);
    pod = node.pod({ id: 1, v4: address, identity: 3001 });
    node.policy(9, []);
    node.host({ policy: 9, enforce: ["ingress", "egress"] });
    node.service({
      id: 20,
      proto: Proto.tcp,
      type: "NodePort",
      address: own,
      port: NODE_PORT,
      backends: [{ id: 200, address: backend, port: 8080 }],
    });
  });
  after(() => node[Symbol.dispose]());

  const tcp = (from: string, to: string, dport = NODE_PORT) =>
    buildPacket({ from, to, transport: { kind: "tcp", sport: ++port, dport, flags: Tcp.syn } });
  const through = (program: string, bytes: Uint8Array, tag: number, ingressIfindex = 0) =>
    node.run(program, bytes, { ifindex: node.deviceIfindex, ingressIfindex, tag });
  const isLeftAlone = (program: string, bytes: Uint8Array, ingressIfindex = 0) => {
    const out = through(program, bytes, VLAN, ingressIfindex);
    assert.deepEqual([out.action, out.events], [Action.pass, []]);
    assert.deepEqual(out.bytes, bytes);
  };

  it("that come in by the device are neither balanced, nor policed, nor led to pods", () => {
    assert.equal(through("from_device", tcp(client, own), 0).packet.destination, backend);
    isLeftAlone("from_device", tcp(client, own));
    assert.equal(through("from_device", tcp(client, own, 22), 0).action, Action.drop, "the node's policy");
    isLeftAlone("from_device", tcp(client, own, 22));
    assert.equal(through("from_device", tcp(client, address), 0).action, Action.redirect);
    isLeftAlone("from_device", tcp(client, address));
  });

  it("that leave by it are neither masqueraded nor policed", () => {
    const from = node.podIfindex(pod);
    assert.equal(through("to_device", tcp(address, world), 0, from).packet.source, own);
    isLeftAlone("to_device", tcp(address, world), from);
    assert.equal(through("to_device", tcp(own, gateway), 0).action, Action.drop, "the node's policy");
    isLeftAlone("to_device", tcp(own, gateway));
  });

  it("number 0 is that of no VLAN", () => {
    assert.equal(through("from_device", tcp(client, own), PRIORITY).packet.destination, backend);
    const out = through("to_device", tcp(address, world), PRIORITY, node.podIfindex(pod));
    assert.equal(out.packet.source, own);
  });

  it("with the tag in them, as XDP sees them, go up as they came", () => {
    const bytes = tcp(client, own);
    assert.equal(node.fromWire(bytes).action, XdpAction.tx);
    const tagged = Uint8Array.of(...bytes.subarray(0, 12), 0x81, 0, 0, VLAN, ...bytes.subarray(12));
    const out = node.fromWire(tagged);
    assert.equal(out.action, XdpAction.pass);
    assert.deepEqual(out.bytes, tagged);
  });

  it("of a pod end at its device: no VLAN of the node's is a pod's", () => {
    const ifindex = node.podIfindex(pod);
    assert.equal(node.fromPod(pod, tcp(address, world)).action, Action.redirect);
    for (const tag of [VLAN, PRIORITY]) {
      const out = node.run("from_pod", tcp(address, world), { ifindex, tag });
      assert.deepEqual([out.action, out.events[0]?.reason], [Action.drop, DropReason.vlanFiltered]);
    }
  });
});
