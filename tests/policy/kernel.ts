// SPDX-License-Identifier: Apache-2.0

import { endpointLayout } from "#datapath/layouts/endpoint.ts";
import { ConfigFlag } from "#datapath/layouts/enums.ts";
import { ipcacheEntryLayout } from "#datapath/layouts/ipcache-entry.ts";
import { ipcacheKeyLayout } from "#datapath/layouts/ipcache-key.ts";
import { type NodeConfig, nodeConfigLayout } from "#datapath/layouts/node-config.ts";
import { policyEntryLayout } from "#datapath/layouts/policy-entry.ts";
import { policyKeyLayout } from "#datapath/layouts/policy-key.ts";
import { readAddress, writeAddress } from "#kernel/bpf/field-codec.ts";
import { MapFlag, MapType } from "#kernel/bpf/kinds.ts";
import type { Layout } from "#kernel/bpf/layout.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { type Collection, loadCollection } from "#kernel/bpf/object.ts";
import { encode, type TypedMap, typedMap, u32Layout } from "#kernel/bpf/typed-map.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { type Address, family, type Prefix, parseAddress, prefixBits128 } from "#model/ip.ts";
import { elementOf, selfElementOf } from "#policy/entries.ts";
import type { ResolvedPolicy } from "#policy/rule.ts";
import { type Compiled, protocolNumber } from "./compiled.ts";
import type { Attempt } from "./oracle/side.ts";

/** What the program says; reason 0: let through. */
export interface KernelAnswer {
  readonly reason: number;
  /** Reasons of denials that are told and not enforced. */
  readonly auditedEgress: number;
  readonly auditedIngress: number;
  /** enum event_flag */
  readonly flags: number;
  readonly egressRule: number;
  readonly ingressRule: number;
  /** It was asked of a packet that answers. */
  readonly reply: boolean;
}

interface Asked extends KernelAnswer {
  readonly saddr: Address;
  readonly daddr: Address;
  readonly port: number;
  readonly proto: number;
}

/** `struct asked` of judge.bpf.c */
const askedLayout: Layout<Asked> = {
  name: "asked",
  size: 56,
  read: (view, at) => ({
    saddr: readAddress(view, at),
    daddr: readAddress(view, at + 16),
    port: view.getUint16(at + 32, true),
    proto: view.getUint8(at + 34),
    flags: view.getUint16(at + 36, true),
    reason: view.getUint8(at + 38),
    auditedEgress: view.getUint8(at + 39),
    egressRule: view.getUint32(at + 40, true),
    ingressRule: view.getUint32(at + 44, true),
    auditedIngress: view.getUint8(at + 48),
    reply: view.getUint8(at + 49) === 1,
  }),
  write: (view, at, value) => {
    writeAddress(view, at, value.saddr);
    writeAddress(view, at + 16, value.daddr);
    view.setUint16(at + 32, value.port, true);
    view.setUint8(at + 34, value.proto);
    view.setUint8(at + 35, family(value.saddr) === 6 ? 1 : 0);
    view.setUint32(at + 36, 0, true);
    view.setUint32(at + 40, 0, true);
    view.setUint32(at + 44, 0, true);
    view.setUint16(at + 48, value.reply ? 256 : 0, true);
    view.setUint16(at + 50, 0, true);
    view.setUint32(at + 52, 0, true);
  },
};

const addressLayout: Layout<Address> = { name: "addr", size: 16, read: readAddress, write: writeAddress };

/** The datapath's own judge(), with maps that are filled from what the product compiled. */
export class KernelJudge implements Disposable {
  readonly #collection: Collection;

  constructor() {
    this.#collection = loadCollection(compiledSpec("tests/policy/judge.bpf.c"), {
      rodata: { config: encode(nodeConfigLayout, config) },
      maxEntries: { events: 4096, conntrack: 64 },
    });
  }

  [Symbol.dispose](): void {
    this.#collection[Symbol.dispose]();
  }

  /** Fills the maps and asks everything in one run, each attempt as it is made and as it is answered. */
  ask(compiled: Compiled, attempts: readonly Attempt[]): KernelAnswer[][] {
    this.#fill(compiled);
    const questions = this.#typed("questions", u32Layout, askedLayout);
    const asked = attempts.flatMap((attempt) => [questionOf(attempt, false), questionOf(attempt, true)]);
    questions.setMany(asked.map((question, index) => [index, question] as const));
    this.#typed("turn", u32Layout, u32Layout).set(0, 0);
    const data = new Uint8Array(64);
    const run = this.#collection.program("answer").testRun({ data, repeat: asked.length });
    if (run.returned !== 0) throw new Error(`the program found no question: ${run.returned}`);
    return attempts.map((_, index) => [questions.get(2 * index)!, questions.get(2 * index + 1)!]);
  }

  #typed<K, V>(name: string, key: Layout<K>, value: Layout<V>): TypedMap<K, V> {
    return typedMap(this.#collection.map(name), key, value);
  }

  #fill(compiled: Compiled): void {
    const policies = this.#typed("policies", u32Layout, u32Layout);
    policies.deleteMany(
      [...policies.map.keys()].map((key) => new DataView(key.slice().buffer).getUint32(0, true)),
    );
    for (const policy of compiled.policies) {
      using inner = innerMap(policy);
      policies.set(policy.id, inner.fd.number);
    }
    const prefixed = ([prefix, id]: readonly [Prefix, number]) => [keyOf(prefix), id] as const;
    replace(
      this.#typed("ipcache", ipcacheKeyLayout, ipcacheEntryLayout),
      [...compiled.ipcache]
        .map(prefixed)
        .map(([key, identity]) => [key, { identity, flags: 0, tunnel: undefined }] as const),
    );
    replace(this.#typed("blocks", ipcacheKeyLayout, u32Layout), [...compiled.blocks].map(prefixed));
    const rows = compiled.endpoints.flatMap(({ addresses, value }) =>
      addresses.map((address) => [address, value] as const),
    );
    replace(this.#typed("endpoints_by_addr", addressLayout, endpointLayout), rows);
    this.#typed("host_endpoint", u32Layout, endpointLayout).set(0, compiled.host.value);
  }
}

function replace<K, V>(map: TypedMap<K, V>, wanted: readonly (readonly [K, V])[]): void {
  map.deleteMany([...map.entries()].map(([key]) => key));
  map.setMany(wanted);
}

function keyOf(prefix: Prefix) {
  return { prefixlen: prefixBits128(prefix), addr: parseAddress(prefix.slice(0, prefix.indexOf("/"))) };
}

function innerMap(policy: ResolvedPolicy): BpfMap {
  const map = BpfMap.create({
    name: "policy",
    type: MapType.lpmTrie,
    keySize: policyKeyLayout.size,
    valueSize: policyEntryLayout.size,
    maxEntries: 65536,
    flags: MapFlag.noPrealloc,
  });
  const elements = [...policy.entries.map(elementOf), selfElementOf(policy)].map(
    ({ key, value }) => [key, value] as const,
  );
  typedMap(map, policyKeyLayout, policyEntryLayout).setMany(elements);
  return map;
}

function questionOf(attempt: Attempt, reply: boolean): Asked {
  const nothing = {
    reason: 0,
    auditedEgress: 0,
    auditedIngress: 0,
    flags: 0,
    egressRule: 0,
    ingressRule: 0,
  };
  const [saddr, daddr] = [parseAddress(attempt.from), parseAddress(attempt.to)];
  return { ...nothing, saddr, daddr, proto: protocolNumber(attempt), port: attempt.port, reply };
}

const config: NodeConfig = {
  nodeV4: undefined,
  nodeV6: undefined,
  routerV4: undefined,
  routerV6: undefined,
  nativeV4: undefined,
  nativeV6: undefined,
  nativeV4Bits: 0,
  nativeV6Bits: 0,
  tunnelIfindex: 0,
  overlayIfindex: 0,
  deviceIfindex: 0,
  flags: ConfigFlag.hostFirewall,
  eventIntervalSec: 5,
  worldV4: 9,
  worldV6: 10,
  shortcuts: 0,
  natPortMin: 0,
  natPortMax: 0,
  mtu: 1500,
  deviceMac: "02:00:00:00:00:bb",
  hostNetns: 1n,
  natSeed: 1n,
};
