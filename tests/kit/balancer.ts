// SPDX-License-Identifier: Apache-2.0
/** A node that balances and the one its remote backends are on, asked through any hook: what the scenarios of the balancer are made of. */
import assert from "node:assert/strict";
import { closeSync } from "node:fs";
import { ConfigFlag, CtKind } from "#datapath/layouts/enums.ts";
import { lbBackendLayout } from "#datapath/layouts/lb-backend.ts";
import { lbBackendKeyLayout } from "#datapath/layouts/lb-backend-key.ts";
import { libc } from "#kernel/libc.ts";
import { addAddress, deleteAddress } from "#kernel/netlink/address.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { linkIndex, setLink } from "#kernel/netlink/link.ts";
import { encodeSockaddr, listenTcp, openSocket, SOCK_STREAM } from "#kernel/socket.ts";
import { parseAddress } from "#model/ip.ts";
import { Action, at, type Outcome, type PodFields, TestNode, XdpAction } from "./datapath.ts";
import {
  buildPacket,
  type Packet,
  type PacketFields,
  Proto,
  readPacket,
  Tcp,
  type Transport,
} from "./packet.ts";
import type { ServiceFields } from "./service-entries.ts";
import type { Led } from "./socket-hook.ts";
import { unwrap, VXLAN_PORT, wrap } from "./vxlan.ts";

/** Where a packet meets the balancer: a process's socket, a pod's device, the node's device, the node's device before the stack. */
export const hooks = ["socket", "pod", "device", "xdp"] as const;
export type Hook = (typeof hooks)[number];
/** Whose pod the backend is. */
export const places = ["local", "remote"] as const;
export type Place = (typeof places)[number];
export const families = ["v4", "v6"] as const;
export type Family = (typeof families)[number];

const nets = {
  v4: {
    backends: { local: ["10.0.1.2", "10.0.1.4"], remote: ["10.0.2.5", "10.0.2.6"] },
    pod: "10.0.1.3",
    outside: "198.51.100.9",
    neighbour: "198.51.100.10",
    bits: "/32",
    vip: "10.96.0.10",
    external: "203.0.113.80",
  },
  v6: {
    backends: { local: ["fd00:10:0:1::2", "fd00:10:0:1::4"], remote: ["fd00:10:0:2::5", "fd00:10:0:2::6"] },
    pod: "fd00:10:0:1::3",
    outside: "2001:db8:9::9",
    neighbour: "2001:db8:9::a",
    bits: "/128",
    vip: "fd00:96::10",
    external: "2001:db8:80::80",
  },
} as const;

const REMOTE_IDENTITY = 2005;
const MTU = 1500;
export const BACKEND_PORT = 8080;
/** What the tunnel leaves of the underlay's 1500 bytes. */
export const TUNNEL_ROOM = MTU - 50;

/** What became of a packet. */
export interface Sent {
  /** On to somebody, up to the node's stack, or dropped. */
  readonly went: "on" | "up" | "dropped";
  /** The packet on its way, out of the tunnel if it went into one. */
  readonly packet: Packet;
  readonly bytes: Uint8Array;
  /** The sender's identity as the tunnel says it; undefined: not by the tunnel. */
  readonly vni: number | undefined;
  /** Of the drop, or of the trace. */
  readonly reason: number | undefined;
  /** XDP sent it itself. */
  readonly early: boolean;
}

export interface Served extends ServiceFields {
  readonly proto: number;
}

export interface Balancer extends AsyncDisposable {
  readonly node: TestNode;
  /** The remote backends' node; it meets services without backends by silence. */
  readonly other: TestNode;
  readonly connect: (address: string, port: number, proto: number) => Led;
}

const refuse = ConfigFlag.ipv4 | ConfigFlag.ipv6 | ConfigFlag.flows;

/** Two nodes with a tunnel between them, for both families. */
export function makeNodes(name: string): { node: TestNode; other: TestNode } {
  const node = TestNode.create(`${name}a`, { routing: "tunnel", xdp: true });
  const other = TestNode.create(`${name}b`, {
    routing: "tunnel",
    config: {
      flags: refuse,
      nodeV4: parseAddress(at.v4.otherNode),
      nodeV6: parseAddress(at.v6.otherNode),
      routerV4: parseAddress(at.v4.otherRouter),
      routerV6: parseAddress(at.v6.otherRouter),
    },
  });
  for (const family of families) {
    const { backends, bits } = nets[family];
    for (const backend of backends.remote) node.identify(backend + bits, REMOTE_IDENTITY, at.v4.otherNode);
    other.identify(at[family].node + bits, 6);
    other.identify(at[family].otherNode + bits, 1);
    other.identify(at[family].otherRouter + bits, 1);
  }
  return { node, other };
}

let next = 0;

/** One cell of the matrix: a family, a hook and a place. */
export class Case {
  readonly #balancer: Balancer;
  readonly hook: Hook;
  readonly place: Place;
  readonly family: Family;
  readonly v6: boolean;
  readonly net: (typeof nets)[Family] & (typeof at)[Family];
  /** The pods of the node: the local backends and one that asks; and those of the other. */
  readonly pods: {
    readonly local: readonly PodFields[];
    readonly asks: PodFields;
    readonly remote: readonly PodFields[];
  };

  constructor(balancer: Balancer, family: Family, hook: Hook, place: Place) {
    this.#balancer = balancer;
    this.hook = hook;
    this.place = place;
    this.family = family;
    this.v6 = family === "v6";
    this.net = { ...nets[family], ...at[family] };
    const { local, remote } = this.net.backends;
    const { node, other } = balancer;
    this.pods = {
      local: [
        node.pod({ id: 1, [family]: local[0], identity: 1001 }),
        node.pod({ id: 2, [family]: local[1], identity: 1002 }),
      ],
      asks: node.pod({ id: 3, [family]: this.net.pod, identity: 1003 }),
      remote: remote.map((address, i) =>
        other.pod({ id: 1 + i, [family]: address, identity: REMOTE_IDENTITY }),
      ),
    };
  }

  get node(): TestNode {
    return this.#balancer.node;
  }

  get other(): TestNode {
    return this.#balancer.other;
  }

  /** Who asks. */
  get client(): string {
    return this.hook === "pod" ? this.net.pod : this.net.outside;
  }

  /** The backends of the cell's place. */
  get backends(): readonly [string, string] {
    return this.net.backends[this.place];
  }

  /** The client's address does not reach the backend. */
  get hidden(): boolean {
    return this.place === "remote" && this.hook !== "pod";
  }

  /** A port nobody has asked from. */
  port(): number {
    return 10_000 + (++next % 40_000);
  }

  /** A service of the kind the hook serves: a node's port for the outside, a cluster address for those inside. */
  serve(
    fields: Partial<Omit<ServiceFields, "backends">> & { proto: number; backends?: readonly string[] },
  ): Served {
    const id = ++next + 100;
    const outside = this.hook === "device" || this.hook === "xdp";
    const { backends = [this.backends[0]], ...others } = fields;
    return this.rewrite({
      id,
      address: outside ? this.net.node : this.net.vip,
      port: 1000 + (id % 30_000),
      type: outside ? "NodePort" : "ClusterIP",
      ...others,
      backends: backends.map((address, i) => ({ id: 10 * id + i, address, port: BACKEND_PORT })),
    });
  }

  rewrite(service: Served): Served {
    this.node.service(service);
    return service;
  }

  /** The service's slots lead to these of its backends alone; the others are remembered until they are forgotten. */
  keepOnly(service: Served, ...addresses: readonly string[]): Served {
    return this.rewrite({
      ...service,
      backends: service.backends.filter(({ address }) => addresses.includes(address)),
    });
  }

  forget(service: Served, address: string): void {
    const id = service.backends.find((backend) => backend.address === address)?.id ?? 0;
    this.node.typed("lb_backends", lbBackendKeyLayout, lbBackendLayout).delete({ id });
  }

  /** No pod has the address any more. Returns what brings it back. */
  vanish(address: string): () => void {
    if (this.place === "local") {
      const pod = this.podOf(address);
      this.node.forgetAddress(address);
      return () => void this.node.pod(pod);
    }
    this.node.identify(address + this.net.bits, 2);
    return () => this.node.identify(address + this.net.bits, REMOTE_IDENTITY, at.v4.otherNode);
  }

  /** A process connects. */
  connect({ address, port, proto }: Pick<Served, "address" | "port" | "proto">): Led {
    return this.#balancer.connect(address, port, proto);
  }

  /** What a client sends to the service. */
  toService(
    service: Pick<Served, "address" | "port" | "proto">,
    sport: number,
    more: Asking = {},
  ): PacketFields {
    const { flags = Tcp.syn, from = this.client, payload = Uint8Array.of(1, 2, 3), id } = more;
    const ports = { sport, dport: service.port };
    const transport: Transport =
      service.proto === Proto.tcp ? { kind: "tcp", ...ports, flags } : { kind: "udp", ...ports };
    return { from, to: service.address, transport, payload, ...(id !== undefined && { id }) };
  }

  ask(service: Pick<Served, "address" | "port" | "proto">, sport: number, more: Asking = {}): Sent {
    return this.send(buildPacket(this.toService(service, sport, more)));
  }

  /** Puts a frame through the hook; what XDP leaves has to be as it was, and goes to traffic control. */
  send(bytes: Uint8Array): Sent {
    if (this.hook === "pod") return sent(this.node.fromPod(this.pods.asks, bytes));
    return this.hook === "xdp" ? this.#fromWire(bytes) : sent(this.node.fromDevice(bytes));
  }

  #fromWire(bytes: Uint8Array, late = () => this.node.fromDevice(bytes)): Sent {
    const out = this.node.fromWire(bytes);
    if (out.action === XdpAction.tx) {
      const inner = isWrapped(out.bytes) ? unwrap(out.bytes, "v4") : { bytes: out.bytes, vni: undefined };
      return {
        went: "on",
        ...inner,
        get packet() {
          return readPacket(inner.bytes);
        },
        reason: out.events[0]?.reason,
        early: true,
      };
    }
    if (out.action === XdpAction.drop) return { ...sent(out), went: "dropped" };
    assert.equal(out.action, XdpAction.pass);
    assert.deepEqual(out.bytes, bytes, "XDP leaves as it came what it leaves");
    assert.deepEqual(out.events, [], "and says nothing of it");
    return sent(late());
  }

  /** The backend's answer to what reached it, as it leaves the balancing node for the client. */
  answer(reached: Sent, more: { flags?: number; payload?: Uint8Array } = {}): Sent {
    const { source, sport, destination, dport, proto } = reached.packet;
    const { flags = Tcp.syn | Tcp.ack, payload = Uint8Array.of(9) } = more;
    const ports = { sport: dport, dport: sport };
    const transport: Transport =
      proto === Proto.tcp ? { kind: "tcp", ...ports, flags } : { kind: "udp", ...ports };
    return this.fromBackend(buildPacket({ from: destination, to: source, transport, payload }), destination);
  }

  /** A frame of a backend's on its way back through the balancing node. */
  fromBackend(bytes: Uint8Array, backend: string): Sent {
    if (this.place === "local") return sent(this.node.fromPod(this.podOf(backend), bytes));
    const late = () => this.node.fromOverlay(bytes, REMOTE_IDENTITY);
    if (this.hook !== "xdp") return sent(late());
    const wrapped = wrap(bytes, { underlay: "v4", vni: REMOTE_IDENTITY });
    return this.#fromWire(wrapped, late);
  }

  /** On the backend's own node, where the balancing node sent it. */
  arrive({ bytes, vni }: Sent): Sent {
    const frame = bytes.slice();
    frame.set([0x02, 0, 0, 0, 0, 0xbb]);
    return sent(vni === undefined ? this.other.fromDevice(frame) : this.other.fromOverlay(frame, vni));
  }

  /** From a remote backend, as it leaves its own node. */
  leave(bytes: Uint8Array, backend: string): Sent {
    return sent(this.other.fromPod(this.podOf(backend), bytes));
  }

  podOf(address: string): PodFields {
    const pod = [...this.pods.local, this.pods.asks, ...this.pods.remote].find(
      (pod) => pod[this.family] === address,
    );
    assert.ok(pod, `pod ${address}`);
    return pod;
  }

  /** A connection between two addresses of the node's namespace: as if one of them came from outside. Returns what closes it. */
  connected(ends: { from: string; sport: number; to: string; port: number }): () => void {
    const [from, to] = [parseAddress(ends.from), parseAddress(ends.to)];
    return this.node.inside(() => {
      {
        using netlink = openNetlink({ netns: this.node.netns });
        setLink(netlink, "lo", { up: true });
        addAddress(netlink, {
          link: linkIndex(netlink, "lo"),
          address: from,
          bits: this.v6 ? 128 : 32,
          noDad: true,
        });
      }
      const listens = listenTcp(to, ends.port);
      const socket = openSocket(from, SOCK_STREAM, 0);
      const [own, peer] = [encodeSockaddr(from, ends.sport), encodeSockaddr(to, ends.port)];
      assert.equal(libc.bind(socket, own, own.length), 0);
      libc.connect(socket, peer, peer.length); // over loopback it is connected when this returns, whatever that says
      return () => {
        closeSync(socket);
        closeSync(listens);
        using netlink = openNetlink({ netns: this.node.netns });
        deleteAddress(netlink, { link: linkIndex(netlink, "lo"), address: from, bits: this.v6 ? 128 : 32 });
      };
    });
  }

  /** The service's entry of a connection is lost, as when the map is full. */
  lose(service: Served, sport: number): void {
    const known = this.node.conntrack.delete({
      low: parseAddress(this.client),
      high: parseAddress(service.address),
      lowPort: sport,
      highPort: service.port,
      proto: service.proto,
      kind: CtKind.service,
    });
    assert.ok(known, "the connection was remembered");
  }
}

export interface Asking {
  readonly flags?: number;
  readonly from?: string;
  readonly payload?: Uint8Array;
  readonly id?: number;
}

/** The outer packet is of the tunnel, over IPv4. */
function isWrapped(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return view.getUint16(12) === 0x0800 && bytes[23] === Proto.udp && view.getUint16(36) === VXLAN_PORT;
}

function sent(out: Outcome): Sent {
  const went = out.action === Action.redirect ? "on" : out.action === Action.pass ? "up" : "dropped";
  return {
    went,
    get packet() {
      return out.packet;
    },
    bytes: out.bytes,
    vni: out.tunnel?.vni,
    reason: out.events[0]?.reason,
    early: false,
  };
}
