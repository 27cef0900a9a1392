// SPDX-License-Identifier: Apache-2.0
/** Direct server return in packet tests: the node a client asks, and the one with the backend, which answers past it. */
import assert from "node:assert/strict";
import { LbFlag } from "#datapath/layouts/enums.ts";
import { parseAddress } from "#model/ip.ts";
import { Action, at, type Outcome, type PodFields, TestNode } from "./datapath.ts";
import { buildPacket, type PacketFields, Proto } from "./packet.ts";

/** Who talks in each family; ip: bytes of its header. */
export const dsrNets = {
  v4: {
    ...at.v4,
    backend: "10.0.2.5",
    elsewhere: "10.0.3.9",
    bits: "/32",
    client: "198.51.100.9",
    vip: "203.0.113.80",
    ip: 20,
  },
  v6: {
    ...at.v6,
    backend: "fd00:10:0:2::5",
    elsewhere: "fd00:10:0:3::9",
    bits: "/128",
    client: "2001:db8:9::9",
    vip: "2001:db8:80::80",
    ip: 40,
  },
} as const;

/** Ports of the services: two of the pod's, one of the backend's node's own process, one at the load balancer's address. */
export const DsrPort = { node: 30_080, other: 30_081, host: 30_082, vip: 80 } as const;

/** Of the client, on the backend's node. */
export const CLIENT_IDENTITY = (1 << 24) + 7;
/** The backend's port. */
const BACKEND_PORT = 8080;
/** Numbers of the first service, on the asked and on the backend's node. */
export const DsrService = { asked: 20, answering: 70 } as const;

export interface DsrPairOptions {
  /** Part of the namespaces' names. */
  readonly title: string;
  readonly name: "v4" | "v6";
  readonly routing: "native" | "tunnel";
  /** enum config_flag of the asked node: which way it tells the other. */
  readonly flags?: number;
  /** The node the asked one's ipcache has for the backend. */
  readonly tunnelEnd?: string | undefined;
}

export type DsrPair = ReturnType<typeof dsrPair>;

/** Packets and what becomes of them; the nodes are there between `start` and disposal. */
export function dsrPair({ title, name, routing, flags = 0, tunnelEnd }: DsrPairOptions) {
  const net = dsrNets[name];
  const nodes = new DisposableStack();
  let asked: TestNode;
  let answering: TestNode;
  let pod: PodFields;
  let port = 20_000;

  const start = () => {
    asked = nodes.use(TestNode.create(`${title}a`, { routing, xdp: true, flags }));
    const config = {
      nodeV4: parseAddress(at.v4.otherNode),
      nodeV6: parseAddress(at.v6.otherNode),
      routerV4: parseAddress(at.v4.otherRouter),
      routerV6: parseAddress(at.v6.otherRouter),
    };
    answering = nodes.use(TestNode.create(`${title}b`, { routing, xdp: true, config }));
    asked.identify(net.backend + net.bits, 2005, tunnelEnd);
    for (const { node, otherNode, bits } of Object.values(dsrNets)) {
      answering.identify(node + bits, 6);
      answering.identify(otherNode + bits, 1);
    }
    answering.identify(net.client + net.bits, CLIENT_IDENTITY);
    pod = answering.pod({ id: 1, [name]: net.backend, identity: 2005 });
    serve();
  };
  /** The same services on both nodes, under numbers of their own. */
  const serve = () => {
    for (const [i, proto] of [Proto.tcp, Proto.udp].entries()) {
      const first = DsrService.asked + i;
      const theirs = DsrService.answering + i;
      // The other node knows of a backend before this one: places in a service differ between nodes.
      for (const [node, own, id, pods] of [
        [asked, net.node, first, [net.backend]],
        [answering, net.otherNode, theirs, [net.elsewhere, net.backend]],
      ] as const) {
        const service = (
          number: number,
          frontend: { address: string; port: number; flags?: number },
          addresses: readonly string[] = pods,
        ) =>
          node.service({
            id: number,
            proto,
            type: "NodePort",
            flags: LbFlag.dsr,
            ...frontend,
            backends: addresses.map((address, n) => ({ id: number * 10 + n, address, port: BACKEND_PORT })),
          });
        service(id, { address: own, port: DsrPort.node });
        service(id + 2, { address: own, port: DsrPort.other });
        service(id + 4, { address: net.vip, port: DsrPort.vip, flags: LbFlag.dsr | LbFlag.external });
        service(id + 6, { address: own, port: DsrPort.host }, [net.otherNode]);
      }
    }
  };

  const tcp = (sport: number, flags: number, to: string = net.node, dport: number = DsrPort.node) =>
    buildPacket({ from: net.client, to, transport: { kind: "tcp", sport, dport, flags } });
  const udpFields = (sport: number, dport: number = DsrPort.node, size = 3): PacketFields => ({
    from: net.client,
    to: net.node,
    transport: { kind: "udp", sport, dport },
    payload: Uint8Array.from({ length: size }, (_, i) => (i * 7) & 255),
  });
  /** The asked node passes it on. */
  const sendOn = (bytes: Uint8Array): Outcome => {
    const out = asked.fromDevice(bytes);
    assert.equal(out.action, Action.redirect, `reason ${out.events[0]?.reason}`);
    return out;
  };
  /** At the backend's node, by its device or its tunnel. */
  const arrive = ({ bytes, tunnel }: Pick<Outcome, "bytes"> & Partial<Outcome>): Outcome => {
    const come = bytes.slice();
    come.set([0x02, 0, 0, 0, 0, 0xbb]);
    return tunnel ? answering.fromOverlay(come, tunnel.vni) : answering.fromDevice(come);
  };
  const answer = (transport: PacketFields["transport"]) =>
    answering.fromPod(pod, buildPacket({ from: net.backend, to: net.client, transport }));
  return {
    net,
    start,
    [Symbol.dispose]: () => nodes.dispose(),
    get asked() {
      return asked;
    },
    get answering() {
      return answering;
    },
    /** A port of the client's nobody has used. */
    nextPort: () => ++port,
    tcp,
    udpFields,
    udp: (sport: number, dport?: number, size?: number) => buildPacket(udpFields(sport, dport, size)),
    sendOn,
    arrive,
    /** What the pod says to the client. */
    answer,
    answerUdp: (dport: number) => answer({ kind: "udp", sport: BACKEND_PORT, dport }),
    answerTcp: (dport: number, flags: number) => answer({ kind: "tcp", sport: BACKEND_PORT, dport, flags }),
    /** What a process of the backend's node says to the client. */
    answerOfNode: (dport: number, flags: number) => {
      const transport = { kind: "tcp", sport: BACKEND_PORT, dport, flags } as const;
      return answering.toDevice(buildPacket({ from: net.otherNode, to: net.client, transport }));
    },
  };
}

/** From where to where. */
export function shown({ packet }: Pick<Outcome, "packet">) {
  return [packet.source, packet.sport, packet.destination, packet.dport];
}

export function dropped(out: Outcome) {
  return [out.action, out.events[0]?.reason];
}
