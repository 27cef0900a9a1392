// SPDX-License-Identifier: Apache-2.0
/** One node's programs and maps in the kernel, attached to nothing: packets are put through them by test runs. */
import assert from "node:assert/strict";
import { type CtEntry, ctEntryLayout } from "#datapath/layouts/ct-entry.ts";
import { type CtKey, ctKeyLayout } from "#datapath/layouts/ct-key.ts";
import { egressEntryLayout } from "#datapath/layouts/egress-entry.ts";
import { egressKeyLayout } from "#datapath/layouts/egress-key.ts";
import { endpointLayout } from "#datapath/layouts/endpoint.ts";
import { EndpointFlag, EndpointId } from "#datapath/layouts/enums.ts";
import { type FlowEvent, flowEventLayout } from "#datapath/layouts/flow-event.ts";
import { ipcacheEntryLayout } from "#datapath/layouts/ipcache-entry.ts";
import { ipcacheKeyLayout } from "#datapath/layouts/ipcache-key.ts";
import { type NodeConfig, nodeConfigLayout } from "#datapath/layouts/node-config.ts";
import { policyEntryLayout } from "#datapath/layouts/policy-entry.ts";
import { policyKeyLayout } from "#datapath/layouts/policy-key.ts";
import { natTable } from "#datapath/nat-table.ts";
import { prefixKey } from "#datapath/prefix-key.ts";
import { reviseShortcuts } from "#datapath/shortcuts.ts";
import { egressEntry } from "#egress/ops.ts";
import type { EgressRow } from "#egress/rows.ts";
import { readAddress, writeAddress } from "#kernel/bpf/field-codec.ts";
import { MapFlag, MapType } from "#kernel/bpf/kinds.ts";
import type { Layout } from "#kernel/bpf/layout.ts";
import { BpfMap, possibleCpus } from "#kernel/bpf/map.ts";
import { type Collection, loadCollection } from "#kernel/bpf/object.ts";
import { openRingBuffer } from "#kernel/bpf/ringbuf.ts";
import { skBuffContext, xdpContext } from "#kernel/bpf/test-run.ts";
import { encode, typedMap, u32Layout } from "#kernel/bpf/typed-map.ts";
import { createNetns, deleteNetns, inNetns } from "#kernel/netns.ts";
import { type Address, type Prefix, parseAddress, parsePrefix, prefixBits128 } from "#model/ip.ts";
import { elementOf } from "#policy/entries.ts";
import type { PolicyEntry } from "#policy/rule.ts";
import { compiledSpec } from "./bpf-object.ts";
import { defaultConfig, makeLinks, NAT_SEED, POD_LINKS, SHORTCUTS } from "./node-links.ts";
import { type Packet, readPacket } from "./packet.ts";
import { mapOf, type ServiceFields, writeService } from "./service-entries.ts";

/** What a program answered: enum TC_ACT_* of linux/pkt_cls.h. */
export const Action = { pass: 0, drop: 2, redirect: 7 } as const;

/** What a program of XDP answered: enum xdp_action of linux/bpf.h. */
export const XdpAction = { aborted: 0, drop: 1, pass: 2, tx: 3 } as const;

export interface Outcome {
  readonly action: number;
  readonly bytes: Uint8Array;
  /** The packet as it came out; its checksums held. */
  readonly packet: Packet;
  /** What it enters the tunnel with, when it does. */
  readonly tunnel: { readonly vni: number; readonly remote: number } | undefined;
  readonly events: readonly FlowEvent[];
}

export interface PodFields {
  readonly id: number;
  readonly v4?: string;
  readonly v6?: string;
  readonly identity: number;
  readonly policy?: number;
  readonly revision?: number;
  readonly enforce?: readonly ("ingress" | "egress")[];
  readonly audit?: boolean;
  /** Its policy has entries of the audit. */
  readonly audits?: boolean;
  /** May send from addresses that are not its own. */
  readonly anySource?: boolean;
}

/** The node every packet test runs on. The device's network and the gateway are there for FIB look-ups. */
export const at = {
  v4: {
    node: "192.168.1.10",
    router: "10.0.1.1",
    gateway: "192.168.1.1",
    otherNode: "192.168.1.20",
    otherRouter: "10.0.2.1",
    world: "203.0.113.7",
  },
  v6: {
    node: "fd00:1::10",
    router: "fd00:10:0:1::1",
    gateway: "fd00:1::1",
    otherNode: "fd00:1::20",
    otherRouter: "fd00:10:0:2::1",
    world: "2001:db8::7",
  },
} as const;

export interface NodeOptions {
  readonly routing: "tunnel" | "native";
  readonly config?: Partial<NodeConfig>;
  /** The programs of XDP, too. */
  readonly xdp?: boolean;
  /** enum config_flag: beside those that are always set. */
  readonly flags?: number;
  /** How many connections there is room for; the oldest make way for more. */
  readonly connections?: number;
}

/** @see TestNode.create */
export class TestNode implements Disposable {
  readonly #stack: DisposableStack;
  readonly #collections: readonly Collection[];
  readonly #maps: ReadonlyMap<string, BpfMap>;
  readonly #around: Collection;
  readonly #netns: string;
  readonly #ring;
  readonly deviceIfindex: number;
  /** Bytes of `struct node_config`. */
  readonly config: Uint8Array;
  readonly #podIfindexes: readonly number[];
  readonly #podsById = new Map<number, PodFields>();

  /** Makes a network namespace with a device and a few pod links, loads all objects. Close it when done. */
  static create(name: string, options: NodeOptions): TestNode {
    using undo = new DisposableStack();
    const netnsName = `c-pkt-${process.pid}-${name}`;
    const netns = createNetns(netnsName);
    undo.defer(() => deleteNetns(netnsName));
    return new TestNode(netns, makeLinks(at, netns), options, undo);
  }

  private constructor(
    netns: string,
    links: { readonly device: number; readonly pods: readonly number[] },
    options: NodeOptions,
    undo: DisposableStack,
  ) {
    this.#netns = netns;
    this.deviceIfindex = links.device;
    this.#podIfindexes = links.pods;
    const usual = defaultConfig(at, options.routing, links.device);
    const flags = usual.flags | (options.flags ?? 0);
    const config = encode(nodeConfigLayout, { ...usual, flags, ...options.config });
    this.config = config;
    const maps = new Map<string, BpfMap>();
    this.#collections = ["pod", "host", "overlay", ...(options.xdp ? ["xdp"] : [])].map((object) => {
      const collection = undo.use(
        loadCollection(compiledSpec(`bpf/${object}.bpf.c`), {
          maps: Object.fromEntries(maps),
          rodata: { config },
          maxEntries: {
            conntrack: options.connections ?? 8192,
            lb_socks: 256,
            events: 1 << 20,
            shortcuts: SHORTCUTS * possibleCpus(),
          },
        }),
      );
      for (const [name, map] of collection.maps) if (!name.startsWith(".")) maps.set(name, map);
      return collection;
    });
    this.#maps = maps;
    reviseShortcuts(maps);
    this.#around = undo.use(loadCollection(compiledSpec("tests/packet/around.bpf.c")));
    this.#ring = undo.use(openRingBuffer(this.map("events")));
    this.#stack = undo.move();
    this.identify(`${at.v4.node}/32`, 1);
    this.identify(`${at.v6.node}/128`, 1);
    this.identify(`${at.v4.router}/32`, 1);
    this.identify(`${at.v6.router}/128`, 1);
    this.identify(`${at.v4.otherNode}/32`, 6);
    this.identify(`${at.v6.otherNode}/128`, 6);
    const tunnelled = options.routing === "tunnel";
    this.identify(`${at.v4.otherRouter}/32`, 6, tunnelled ? at.v4.otherNode : undefined);
    this.identify(`${at.v6.otherRouter}/128`, 6, tunnelled ? at.v4.otherNode : undefined);
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }

  /** Name of the network namespace that test runs take place in. */
  get netns(): string {
    return this.#netns;
  }

  map(name: string): BpfMap {
    return mapOf(this.#maps, name);
  }

  typed<K, V>(name: string, key: Layout<K>, value: Layout<V>) {
    return typedMap(this.map(name), key, value);
  }

  get nat() {
    return natTable(this.map("nat_sets"), NAT_SEED);
  }

  get conntrack() {
    return this.typed<CtKey, CtEntry>("conntrack", ctKeyLayout, ctEntryLayout);
  }

  /** Writes (again) a pod's rows. */
  pod(fields: PodFields): PodFields {
    this.#podsById.set(fields.id, fields);
    const { id, identity, policy = 0, revision = 1 } = fields;
    const ifindex = this.podIfindex(fields);
    const row = {
      v4: fields.v4 === undefined ? undefined : parseAddress(fields.v4),
      v6: fields.v6 === undefined ? undefined : parseAddress(fields.v6),
      identity,
      policyId: policy,
      policyRev: revision,
      ifindex,
      id,
      flags: flagsOf(fields),
      mac: `02:00:00:00:01:0${id}`,
      hostMac: `02:00:00:00:02:0${id}`,
    };
    this.typed("endpoints_by_ifindex", u32Layout, endpointLayout).set(ifindex, row);
    const byAddress = this.typed("endpoints_by_addr", addressLayout, endpointLayout);
    for (const address of [row.v4, row.v6]) if (address) byAddress.set(address, row);
    return fields;
  }

  /** No pod of the node has the address any more. */
  forgetAddress(address: string): void {
    this.typed("endpoints_by_addr", addressLayout, endpointLayout).delete(parseAddress(address));
  }

  podIfindex(pod: PodFields): number {
    const ifindex = this.#podIfindexes[pod.id - 1];
    assert.ok(ifindex, `pod ids are 1 to ${POD_LINKS}`);
    return ifindex;
  }

  /** The node itself as an end that policies select. */
  host(fields: Pick<PodFields, "policy" | "revision" | "enforce" | "audit" | "audits">): void {
    const { policy = 0, revision = 1 } = fields;
    const none = "00:00:00:00:00:00";
    const row = {
      v4: undefined,
      v6: undefined,
      identity: 1,
      policyId: policy,
      policyRev: revision,
      ifindex: 0,
      id: EndpointId.hostEndpoint,
      flags: flagsOf(fields),
      mac: none,
      hostMac: none,
    };
    this.typed("host_endpoint", u32Layout, endpointLayout).set(0, row);
  }

  /** An ipcache entry. */
  identify(prefix: string, identity: number, tunnel?: string): void {
    const parsed: Prefix = parsePrefix(prefix);
    this.typed("ipcache", ipcacheKeyLayout, ipcacheEntryLayout).set(
      { prefixlen: prefixBits128(parsed), addr: parseAddress(prefix.slice(0, prefix.indexOf("/"))) },
      { identity, flags: 0, tunnel: tunnel === undefined ? undefined : parseAddress(tunnel) },
    );
  }

  /** An entry of the blocks map. */
  block(prefix: string, identity: number): void {
    const parsed: Prefix = parsePrefix(prefix);
    this.typed("blocks", ipcacheKeyLayout, u32Layout).set(
      { prefixlen: prefixBits128(parsed), addr: parseAddress(prefix.slice(0, prefix.indexOf("/"))) },
      identity,
    );
  }

  /** An entry of the map `egress`, as a desired row becomes one. */
  egress(row: Pick<EgressRow, "source" | "destination" | "way" | "node" | "address">): void {
    const { key, value } = egressEntry({ pod: "", policy: "", gateway: "", asked: "", ...row });
    this.typed("egress", egressKeyLayout, egressEntryLayout).set(key, value);
  }

  /** A destination on the list of those that are not masqueraded. */
  exempt(prefix: string): void {
    this.typed("masq_exempt", ipcacheKeyLayout, u32Layout).set(prefixKey(parsePrefix(prefix)), 1);
  }

  policy(id: number, entries: readonly PolicyEntry[]): void {
    using inner = BpfMap.create({
      name: "policy",
      type: MapType.lpmTrie,
      keySize: policyKeyLayout.size,
      valueSize: policyEntryLayout.size,
      maxEntries: 1024,
      flags: MapFlag.noPrealloc,
    });
    const map = typedMap(inner, policyKeyLayout, policyEntryLayout);
    for (const { key, value } of entries.map(elementOf)) map.set(key, value);
    this.typed("policies", u32Layout, u32Layout).set(id, inner.fd.number);
  }

  service(fields: ServiceFields): void {
    writeService(this.#maps, fields);
  }

  /** Puts a frame through a program; the events it caused come along. `tag`: of a VLAN, as the stack keeps it beside the frame. */
  run(
    program: string,
    bytes: Uint8Array,
    where: { ifindex: number; vni?: number; ingressIfindex?: number; tag?: number },
  ): Outcome {
    const egress = program.startsWith("to_");
    const outer = this.#around.program(egress ? "around_egress" : "around_ingress");
    const inner = this.#around.map(egress ? "inner_egress" : "inner_ingress");
    typedMap(inner, u32Layout, u32Layout).set(0, this.program(program).fd.number);
    const { ifindex, ingressIfindex = 0 } = where;
    const context = skBuffContext({ ifindex, ingressIfindex, cb: [where.vni ?? 0, 0, 0, 0, where.tag ?? 0] });
    const result = inNetns(this.#netns, () => outer.testRun({ data: bytes, context }));
    const cb = new DataView(result.context.buffer, result.context.byteOffset + 48);
    const vni = cb.getUint32(4, true);
    const events = this.events();
    assert.notEqual(result.returned, 99, "the program was not run");
    return {
      action: result.returned,
      bytes: result.data,
      get packet() {
        return readPacket(result.data);
      },
      tunnel: vni ? { vni, remote: cb.getUint32(8, true) || cb.getUint32(12, true) } : undefined,
      events,
    };
  }

  /** What a program costs: mean nanoseconds of `repeat` runs, each with the packet as the one before left it, and its last answer. */
  time(program: string, bytes: Uint8Array, where: { ifindex: number; repeat: number }) {
    const context = skBuffContext({ ifindex: where.ifindex });
    const { durationNs, returned } = inNetns(this.#netns, () =>
      this.program(program).testRun({ data: bytes, context, repeat: where.repeat }),
    );
    this.events();
    return { ns: durationNs, action: returned };
  }

  fromPod(pod: PodFields, bytes: Uint8Array): Outcome {
    return this.run("from_pod", bytes, { ifindex: this.podIfindex(pod) });
  }

  toPod(pod: PodFields, bytes: Uint8Array): Outcome {
    return this.run("to_pod", bytes, { ifindex: this.podIfindex(pod) });
  }

  fromDevice(bytes: Uint8Array): Outcome {
    return this.run("from_device", bytes, { ifindex: this.deviceIfindex });
  }

  /** The device, before the stack: see XdpAction. */
  fromWire(bytes: Uint8Array): Outcome {
    const context = xdpContext({ length: bytes.length, ifindex: this.deviceIfindex });
    const result = inNetns(this.#netns, () => this.program("from_wire").testRun({ data: bytes, context }));
    return {
      action: result.returned,
      bytes: result.data,
      get packet() {
        return readPacket(result.data);
      },
      tunnel: undefined,
      events: this.events(),
    };
  }

  toDevice(bytes: Uint8Array): Outcome {
    return this.run("to_device", bytes, { ifindex: this.deviceIfindex });
  }

  /** What came in by a device and is on its way out. */
  throughDevice(bytes: Uint8Array): Outcome {
    return this.run("to_device", bytes, { ifindex: this.deviceIfindex, ingressIfindex: this.deviceIfindex });
  }

  toOverlay(bytes: Uint8Array, vni: number): Outcome {
    return this.run("to_overlay", bytes, { ifindex: this.deviceIfindex, vni });
  }

  /** Runs work in the node's network namespace. */
  inside<T>(work: () => T): T {
    return inNetns(this.#netns, work);
  }

  fromOverlay(bytes: Uint8Array, vni: number): Outcome {
    return this.run("from_overlay", bytes, { ifindex: this.deviceIfindex, vni });
  }

  program(name: string) {
    const owner = this.#collections.find((collection) => collection.programs.has(name));
    assert.ok(owner, `program ${name}`);
    return owner.program(name);
  }

  events(): FlowEvent[] {
    const found: FlowEvent[] = [];
    this.#ring.drain((view, offset) => found.push(flowEventLayout.read(view, offset)));
    return found;
  }
}

function flagsOf({ enforce = [], audit, audits, anySource }: Partial<PodFields>): number {
  return (
    (enforce.includes("ingress") ? EndpointFlag.enforceIngress : 0) |
    (enforce.includes("egress") ? EndpointFlag.enforceEgress : 0) |
    (audit ? EndpointFlag.audit : 0) |
    (audits ? EndpointFlag.audited : 0) |
    (anySource ? EndpointFlag.noSourceCheck : 0)
  );
}

const addressLayout: Layout<Address> = { name: "addr", size: 16, read: readAddress, write: writeAddress };
