// SPDX-License-Identifier: Apache-2.0
/** Who asks for a service's address on the wire is answered by the program, and learns of a new place: the kernel's own ARP and neighbour discovery ask. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { ConfigFlag } from "#datapath/layouts/enums.ts";
import { l2ResponderLayout } from "#datapath/layouts/l2-responder.ts";
import { l2ResponderKeyLayout } from "#datapath/layouts/l2-responder-key.ts";
import { nodeConfigLayout } from "#datapath/layouts/node-config.ts";
import { attachTcx, attachXdp, type BpfLink } from "#kernel/bpf/link.ts";
import { type Collection, loadCollection } from "#kernel/bpf/object.ts";
import { skBuffContext } from "#kernel/bpf/test-run.ts";
import { typedMap } from "#kernel/bpf/typed-map.ts";
import { addAddress } from "#kernel/netlink/address.ts";
import { type Netlink, openNetlink } from "#kernel/netlink/handle.ts";
import { addVeth, getLink, setLink } from "#kernel/netlink/link.ts";
import { listNeighbours } from "#kernel/netlink/neighbour.ts";
import { createNetns, deleteNetns, inNetns } from "#kernel/netns.ts";
import { joinGroup, sendFrames } from "#kernel/packet-socket.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { Action } from "#kit/datapath.ts";
import { eventually } from "#kit/eventually.ts";
import { parseAddress } from "#model/ip.ts";
import { announcements, solicitedNodeGroup } from "#services/l2-frames.ts";

const names = { client: `c-l2-${process.pid}-client`, node: `c-l2-${process.pid}-node` };
const net = {
  v4: { client: "192.0.2.1", vip: "192.0.2.100", taken: "192.0.2.101", other: "192.0.2.200" },
  v6: { client: "2001:db8::1", vip: "2001:db8::100", taken: "2001:db8::101", other: "2001:db8::200" },
} as const;
const forever = 0xffff_ffff;
const NEXT = 0xffff_ffff;

describe("services announced on the wire", () => {
  const stack = new DisposableStack();
  let program: Collection;
  let link: BpfLink;
  let client: { netlink: Netlink; ifindex: number; netns: string };
  let node: { ifindex: number; netns: string; mac: string };
  const responders = (of = program) =>
    typedMap(of.map("l2_responders"), l2ResponderKeyLayout, l2ResponderLayout);
  const answer = (of: Collection, address: string) =>
    responders(of).set(
      { addr: parseAddress(address), ifindex: node.ifindex },
      { mac: node.mac, until: forever },
    );
  const attachFirst = (of: Collection) =>
    inNetns(node.netns, () =>
      attachTcx({
        program: of.program("answer_for_services"),
        ifindex: node.ifindex,
        direction: "ingress",
        position: "first",
      }),
    );

  before(() => {
    const [clientNs, nodeNs] = [names.client, names.node].map((name) => {
      const path = createNetns(name);
      stack.defer(() => deleteNetns(name));
      return path;
    }) as [string, string];
    const netlink = stack.use(openNetlink({ netns: clientNs }));
    const nodeNetlink = stack.use(openNetlink({ netns: nodeNs }));
    addVeth(netlink, { name: "up", peer: { name: "down", netns: nodeNs } });
    setLink(netlink, "up", { up: true });
    setLink(nodeNetlink, "down", { up: true });
    client = { netlink, ifindex: getLink(netlink, "up")!.index, netns: clientNs };
    const device = getLink(nodeNetlink, "down")!;
    node = { ifindex: device.index, netns: nodeNs, mac: device.mac! };
    for (const { client: address } of Object.values(net))
      addAddress(netlink, {
        link: client.ifindex,
        address: parseAddress(address),
        bits: address.includes(":") ? 64 : 24,
        noDad: true,
      });
    program = stack.use(loadCollection(compiledSpec("bpf/announce.bpf.c")));
    link = stack.use(attachFirst(program));
    for (const { vip, taken } of Object.values(net))
      for (const address of [vip, taken]) answer(program, address);
  });
  after(() => stack.dispose());

  const macOf = (address: string) =>
    listNeighbours(client.netlink, client.ifindex).find((one) => one.address === parseAddress(address))?.mac;
  /** One datagram, so that the kernel has to find out where it goes. */
  const ask = (address: string) => {
    try {
      execFileSync("ip", ["netns", "exec", names.client, "ping", "-c1", "-W1", address], { stdio: "ignore" });
    } catch {
      // Nobody answers the ping: the question for the address is what matters.
    }
  };

  for (const [name, { vip, other, taken }] of Object.entries(net)) {
    it(`the client's kernel learns the node's address for ${vip}, ${name}, and nothing for others`, () => {
      ask(vip);
      assert.equal(macOf(vip), node.mac);
      ask(other);
      assert.equal(macOf(other), undefined);
    });

    it(`an announcement moves ${taken} to its new place, ${name}`, async () => {
      ask(taken);
      assert.equal(macOf(taken), node.mac);
      const moved = "02:00:00:00:00:99";
      // The kernel holds to what it has just learnt for a second (net.ipv4.neigh.*.locktime).
      await eventually(() => {
        sendFrames(node, announcements(parseAddress(taken), moved));
        assert.equal(macOf(taken), moved);
      });
    });
  }

  it("answers behind XDP in the stack, which hands most packets on without their link-layer header", () => {
    const empty = new DataView(new ArrayBuffer(nodeConfigLayout.size));
    const config = { ...nodeConfigLayout.read(empty, 0), flags: ConfigFlag.genericXdp };
    nodeConfigLayout.write(empty, 0, config);
    const rodata = { config: new Uint8Array(empty.buffer) };
    using behind = loadCollection(compiledSpec("bpf/announce.bpf.c"), { rodata });
    using hooks = loadCollection(compiledSpec("src/kernel/bpf/testdata/hooks.bpf.c"));
    using _xdp = inNetns(node.netns, () =>
      attachXdp({ program: hooks.program("pass"), ifindex: node.ifindex, mode: "generic" }),
    );
    using _link = attachFirst(behind);
    for (const address of ["192.0.2.160", "2001:db8::160"]) {
      answer(behind, address);
      ask(address);
      assert.equal(macOf(address), node.mac);
    }
  });

  it("a host that checks whether an address is free learns that it is not", async () => {
    addAddress(client.netlink, { link: client.ifindex, address: parseAddress(net.v6.vip), bits: 64 });
    await eventually(() => {
      const shown = execFileSync("ip", ["-n", names.client, "-6", "addr", "show", "dev", "up"], {
        encoding: "utf8",
      });
      assert.match(shown, /2001:db8::100\/64.*dadfailed/);
    });
  });

  it("takes part in the group that questions for an IPv6 address go to", () => {
    const group = solicitedNodeGroup(parseAddress("2001:db8::12:3456"));
    assert.equal(group, "ff02::1:ff12:3456");
    const groups = () =>
      execFileSync("ip", ["-n", names.node, "maddr", "show", "dev", "down"], { encoding: "utf8" });
    const fd = joinGroup(node, group);
    assert.ok(groups().includes("33:33:ff:12:34:56"));
    closeSync(fd);
    assert.ok(!groups().includes("33:33:ff:12:34:56"));
  });

  describe("what it leaves to others", () => {
    const run = (data: Uint8Array, ifindex = node.ifindex) =>
      inNetns(node.netns, () =>
        program.program("answer_for_services").testRun({ data, context: skBuffContext({ ifindex }) }),
      );
    const mac = [2, 0, 0, 0, 0, 7];
    const arp = (change: { op?: number; sender?: number[]; target?: number[]; hardware?: number } = {}) => {
      const { op = 1, sender = [192, 0, 2, 1], target = [192, 0, 2, 100], hardware = 1 } = change;
      const body = [0, hardware, 8, 0, 6, 4, 0, op, ...mac, ...sender, 0, 0, 0, 0, 0, 0, ...target];
      return Uint8Array.from([255, 255, 255, 255, 255, 255, ...mac, 8, 6, ...body]);
    };
    const solicitation = (change: { hops?: number; type?: number } = {}) => {
      const { hops = 255, type = 135 } = change;
      const [from, to] = [net.v6.client, net.v6.vip].map((text) => [
        0x20,
        1,
        0x0d,
        0xb8,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        Number(text.endsWith("100")),
        Number(text.endsWith(":1")),
      ]);
      const ip = [0x60, 0, 0, 0, 0, 24, 58, hops, ...from!, ...to!];
      return Uint8Array.from([
        0x33,
        0x33,
        255,
        0,
        1,
        0,
        ...mac,
        0x86,
        0xdd,
        ...ip,
        type,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        ...to!,
      ]);
    };

    it("answers these questions in test runs, as the cases below differ from them", () => {
      assert.equal(run(arp()).returned, Action.redirect);
      assert.equal(run(arp({ sender: [0, 0, 0, 0] })).returned, Action.redirect);
      const { returned, data } = run(solicitation());
      assert.equal(returned, Action.redirect);
      assert.deepEqual([data.length, data[54], data[58], data[78]], [86, 136, 0x60, 2]);
    });

    for (const [what, frame] of Object.entries({
      "an answer": arp({ op: 2 }),
      "somebody's announcement": arp({ sender: [192, 0, 2, 100] }),
      "another hardware's question": arp({ hardware: 6 }),
      "a question for another address": arp({ target: [192, 0, 2, 7] }),
      "half a question": arp().subarray(0, 30),
      "a solicitation from behind a router": solicitation({ hops: 64 }),
      "an advertisement": solicitation({ type: 136 }),
      "half a solicitation": solicitation().subarray(0, 70),
    }))
      it(what, () => {
        const { returned, data } = run(frame);
        assert.equal(returned, NEXT);
        assert.deepEqual(data, frame);
      });

    it("a question for an address whose time is over", () => {
      const nowSec = Number(process.hrtime.bigint() / 1_000_000_000n);
      const addr = parseAddress("192.0.2.90");
      const asked = () => run(arp({ target: [192, 0, 2, 90] })).returned;
      responders().set({ addr, ifindex: node.ifindex }, { mac: node.mac, until: nowSec + 3600 });
      assert.equal(asked(), Action.redirect);
      responders().set({ addr, ifindex: node.ifindex }, { mac: node.mac, until: nowSec });
      assert.equal(asked(), NEXT);
    });

    it("a question on another device", () => {
      assert.equal(run(arp(), 1).returned, NEXT);
    });
  });

  it("is asked no more when it is taken off", () => {
    link.detach();
    const address = "192.0.2.150";
    responders().set(
      { addr: parseAddress(address), ifindex: node.ifindex },
      { mac: node.mac, until: forever },
    );
    ask(address);
    assert.equal(macOf(address), undefined);
  });
});
