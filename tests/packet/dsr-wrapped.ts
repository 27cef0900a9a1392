// SPDX-License-Identifier: Apache-2.0
/** What direct server return does alike wherever the client's packet goes whole inside another one. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { Action, XdpAction } from "#kit/datapath.ts";
import { type DsrPair, DsrPort, shown } from "#kit/dsr-pair.ts";
import { buildFragments, buildPacket, readFragments, Tcp } from "#kit/packet.ts";

const ETH = 14;

export interface Wrapped {
  readonly pair: DsrPair;
  readonly name: "v4" | "v6";
  /** Bytes around the packet. */
  readonly overhead: number;
  /** The backend's node gets a packet that has nothing around it and names the backend: as after one by option. */
  bare(bytes: Uint8Array): { readonly action: number };
}

export function wrappedCases({ pair, name, overhead, bare }: Wrapped): void {
  const { net, tcp, udp, udpFields, sendOn, arrive, answerTcp, answerUdp, answerOfNode, nextPort } = pair;

  it("UDP, and a load balancer's address, which every node has", () => {
    const sport = nextPort();
    assert.deepEqual(shown(arrive(sendOn(udp(sport)))), [net.client, sport, net.backend, 8080]);
    const back = answerUdp(sport);
    assert.deepEqual(shown(back), [net.node, DsrPort.node, net.client, sport]);
    const other = nextPort();
    const out = arrive(sendOn(tcp(other, Tcp.syn, net.vip, DsrPort.vip)));
    assert.deepEqual(shown(out), [net.client, other, net.backend, 8080]);
    assert.deepEqual(shown(answerTcp(other, Tcp.syn | Tcp.ack)), [net.vip, DsrPort.vip, net.client, other]);
  });

  it("a process of the backend's node", () => {
    const sport = nextPort();
    const sent = sendOn(tcp(sport, Tcp.syn, net.node, DsrPort.host));
    assert.equal(sent.packet.destination, net.otherNode);
    const out = arrive(sent);
    assert.equal(out.action, Action.pass, `reason ${out.events[0]?.reason}`);
    assert.deepEqual(shown(out), [net.client, sport, net.otherNode, 8080]);
    const back = answerOfNode(sport, Tcp.syn | Tcp.ack);
    assert.deepEqual(shown(back), [net.node, DsrPort.host, net.client, sport]);
  });

  it("XDP sends the same as traffic control, and leaves what arrives to it", () => {
    const sport = nextPort();
    for (const [bytes, told] of [
      [tcp(sport, Tcp.syn), 1],
      [tcp(sport, Tcp.ack), 0],
      [tcp(sport, Tcp.ack), 0],
      [udp(nextPort()), 1],
      [udp(nextPort(), DsrPort.node, 1301), 1],
    ] as const) {
      const early = pair.asked.fromWire(bytes);
      const late = sendOn(bytes);
      assert.equal(early.action, XdpAction.tx);
      assert.deepEqual(early.bytes.subarray(12), late.bytes.subarray(12), "all but the link's addresses");
      assert.equal(early.events.length, told);
      const up = pair.answering.fromWire(early.bytes);
      assert.equal(up.action, XdpAction.pass);
      assert.deepEqual(up.bytes, early.bytes);
      assert.deepEqual(shown(arrive(early)).slice(2), [net.backend, 8080]);
    }
  });

  it("what has no room with the headers around it: the client is told the room there is, in its own terms", () => {
    const longest = 1500 - overhead - net.ip - 8;
    const sport = nextPort();
    const bytes = udp(sport, DsrPort.node, longest + 1);
    assert.equal(pair.asked.fromWire(bytes).action, XdpAction.pass);
    const out = pair.asked.fromDevice(bytes);
    assert.equal(out.action, Action.redirect);
    assert.deepEqual([out.packet.type, out.packet.code], name === "v6" ? [2, 0] : [3, 4]);
    assert.deepEqual([out.packet.source, out.packet.destination], [net.node, net.client]);
    assert.deepEqual([out.packet.about?.destination, out.packet.about?.dport], [net.node, DsrPort.node]);
    const word = new DataView(out.bytes.buffer, out.bytes.byteOffset + ETH + net.ip + 4).getUint32(0);
    assert.equal(word, 1500 - overhead);
    assert.equal(sendOn(udp(sport, DsrPort.node, longest)).bytes.length, ETH + 1500);
    assert.equal(pair.asked.fromWire(udp(sport, DsrPort.node, longest)).bytes.length, ETH + 1500);
  });

  it("fragments go each in a packet of its own, and all arrive", () => {
    const sport = nextPort();
    const parts = buildFragments({ ...udpFields(sport, DsrPort.node, 900), id: sport }, 400);
    const sent = parts.map((part) => sendOn(part));
    assert.equal(sent.length, 3);
    const come = sent.map(({ bytes }) => arrive({ bytes }));
    for (const out of come) assert.equal(out.action, Action.redirect, `reason ${out.events[0]?.reason}`);
    const whole = readFragments(come.map(({ bytes }) => bytes));
    assert.deepEqual([whole.source, whole.destination, whole.dport], [net.client, net.backend, 8080]);
    const back = answerUdp(sport);
    assert.deepEqual(shown(back), [net.node, DsrPort.node, net.client, sport]);
  });

  it("a connection goes on while nodes change from one way of telling to the other", () => {
    const sport = nextPort();
    const transport = { kind: "tcp", sport, dport: 8080, flags: Tcp.ack } as const;
    arrive(sendOn(tcp(sport, Tcp.syn)));
    answerTcp(sport, Tcp.syn | Tcp.ack);
    const { action } = bare(buildPacket({ from: net.client, to: net.backend, transport }));
    assert.equal(action, Action.redirect, "as by option, told once");
    assert.deepEqual(shown(answerTcp(sport, Tcp.ack)), [net.node, DsrPort.node, net.client, sport]);
    arrive(sendOn(tcp(sport, Tcp.ack)));
    assert.deepEqual(shown(answerTcp(sport, Tcp.ack)), [net.node, DsrPort.node, net.client, sport]);
  });
}
