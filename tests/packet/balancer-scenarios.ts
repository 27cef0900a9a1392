// SPDX-License-Identifier: Apache-2.0
/**
 * What the balancer has to do, a row for each feature: what shows it in each cell, by hook and by the backend's place, or why there
 * is no such cell. balancer.kernel.test.ts runs them for both families; what is left out does not compile.
 */
import type { Case, Hook, Place } from "#kit/balancer.ts";
import * as run from "./balancer-runs.ts";
import * as errors from "./balancer-runs-errors.ts";
import * as wire from "./balancer-runs-wire.ts";

export type Cell = ((c: Case) => void) | { readonly not: string };
export type Row = Readonly<Record<Hook, Cell | Readonly<Record<Place, Cell>>>>;

const not = (why: string): Cell => ({ not: why });
const AT_CONNECT = not(
  "a process is led when it connects; its packets carry the backend's address and pass no frontend",
);
const NO_PORT = not("a process that connects has no source port yet: its backend is chosen by chance");
const FROM_OUTSIDE = not("asked from outside only");
const FROM_INSIDE = not("asked from inside only");
const KEEPS_SOURCE = not("the client keeps its own address: no port is taken");
const NO_WAY = not("a local pod is reached without a tunnel and without an option");
const LOCAL_ONLY = not("a pod that reaches itself is on its node");
const OTHERS_PROCESS = not("a process of another node is as any backend there");
const DIRECT_INSIDE = not("direct server return is for clients outside");

/** The packets' three hooks alike. */
const packets = (cell: Cell): Omit<Row, "socket"> => ({ pod: cell, device: cell, xdp: cell });
const outside = (cell: Row["device"]): Pick<Row, "device" | "xdp"> => ({ device: cell, xdp: cell });

export const scenarios: Readonly<Record<string, Row>> = {
  "a TCP connection, and its answers": { socket: run.connects, ...packets(run.tcpConnection) },
  "datagrams, and their answers": { socket: run.connects, ...packets(run.datagrams) },
  "datagrams in fragments, both ways": { socket: AT_CONNECT, ...packets(run.fragments) },
  "a fragment before the first": { socket: AT_CONNECT, ...packets(run.lateFragment) },
  "the client's address": { socket: AT_CONNECT, ...packets(run.sourceAddress) },
  "every backend has its share": { socket: run.spread, ...packets(run.spread) },
  weights: { socket: run.weighted, ...packets(run.weighted) },
  "Maglev: one choice on all nodes": { socket: NO_PORT, ...packets(run.hashed) },
  "session affinity, and its end": { socket: run.affinity, ...packets(run.affinity) },
  "TCP stays with a backend that drains": { socket: AT_CONNECT, ...packets(run.drains) },
  "TCP stays with a backend that is forgotten, while it lives": {
    socket: AT_CONNECT,
    ...packets(run.forgotten),
  },
  "datagrams leave a backend that is gone": { socket: AT_CONNECT, ...packets(run.backendGone) },
  "a connection whose entry was lost": { socket: AT_CONNECT, ...packets(run.entryLost) },
  "one client port, two services, one backend": {
    socket: AT_CONNECT,
    pod: run.twoServices,
    ...outside(run.twoServices),
  },
  "one client port, a service and its backend itself": {
    socket: not("the kernel refuses a second connection of one port to one backend"),
    pod: errors.besideDirect,
    device: { local: errors.besideDirect, remote: not("through the node the backend has another client") },
    xdp: { local: errors.besideDirect, remote: not("through the node the backend has another client") },
  },
  "two clients of one port": {
    socket: AT_CONNECT,
    pod: not("pods differ by their addresses, which they keep"),
    ...outside(wire.portConflict),
  },
  "no source port is left": {
    socket: AT_CONNECT,
    pod: KEEPS_SOURCE,
    ...outside({ local: KEEPS_SOURCE, remote: wire.portsExhausted }),
  },
  "an error of the backend's side": { socket: AT_CONNECT, ...packets(errors.backendsError) },
  "an error of the client's side": { socket: AT_CONNECT, ...packets(errors.clientsError) },
  "an error about nothing that was sent": { socket: AT_CONNECT, ...packets(errors.strangersError) },
  "an error of somebody else's": {
    socket: AT_CONNECT,
    pod: errors.forgedError,
    ...outside(not("whoever is on the way may have one")),
  },
  "a process of the node answers": {
    socket: { local: errors.processOfNode, remote: OTHERS_PROCESS },
    pod: { local: errors.processOfNode, remote: OTHERS_PROCESS },
    ...outside({ local: errors.processOfNode, remote: OTHERS_PROCESS }),
  },
  "a service, beside a connection to the node's process itself": {
    socket: AT_CONNECT,
    pod: not("the packets of a pod to the node are tracked: as to any backend"),
    ...outside({ local: errors.besideProcess, remote: OTHERS_PROCESS }),
  },
  "datagrams by a service, beside some to the node's process itself": {
    socket: AT_CONNECT,
    pod: { local: errors.besideProcessByUdp, remote: OTHERS_PROCESS },
    ...outside({ local: errors.besideProcessByUdp, remote: OTHERS_PROCESS }),
  },
  "a pod reaches itself": {
    socket: not("its kernel connects it to itself"),
    pod: { local: errors.hairpin, remote: LOCAL_ONLY },
    ...outside(FROM_INSIDE),
  },
  "nobody answers": { socket: run.nobody, ...packets(run.nobody) },
  "source ranges": { socket: run.rangesAtSocket, ...packets(run.sourceRanges) },
  "externalTrafficPolicy Local, from outside": {
    socket: FROM_OUTSIDE,
    pod: FROM_OUTSIDE,
    ...outside(run.localPolicy),
  },
  "externalTrafficPolicy Local, from inside": {
    socket: run.localPolicyInside,
    pod: run.localPolicyInside,
    ...outside(FROM_INSIDE),
  },
  "a cluster address from outside": {
    socket: FROM_OUTSIDE,
    pod: FROM_OUTSIDE,
    ...outside(run.clusterIpFromOutside),
  },
  "a loopback frontend": {
    socket: run.hostOnly,
    pod: run.hostOnly,
    ...outside(not("no packet of it comes by a device")),
  },
  "longer than the way carries": {
    socket: AT_CONNECT,
    pod: not("the stack tells pods: host.kernel.test.ts"),
    ...outside({ local: NO_WAY, remote: wire.tooLong }),
  },
  "the last hop": { socket: AT_CONNECT, ...packets(run.lastHop) },
  "direct server return, both ways": { socket: AT_CONNECT, pod: DIRECT_INSIDE, ...outside(wire.direct) },
  "direct: an error of the client's side": {
    socket: AT_CONNECT,
    pod: DIRECT_INSIDE,
    ...outside({ local: errors.clientsError, remote: wire.directClientsError }),
  },
  "direct: no room for the option": {
    socket: AT_CONNECT,
    pod: DIRECT_INSIDE,
    ...outside({ local: NO_WAY, remote: wire.directTooLong }),
  },
  "direct: no room in the first fragment": {
    socket: AT_CONNECT,
    pod: DIRECT_INSIDE,
    ...outside({ local: NO_WAY, remote: wire.directFragmentTooLong }),
  },
  "direct: a connection to the backend itself, of one port": {
    socket: AT_CONNECT,
    pod: DIRECT_INSIDE,
    ...outside({ local: errors.besideDirect, remote: wire.directBeside }),
  },
  "direct: the end of a connection": {
    socket: AT_CONNECT,
    pod: DIRECT_INSIDE,
    ...outside({ local: NO_WAY, remote: wire.directEnd }),
  },
  "a VLAN's frame": {
    socket: AT_CONNECT,
    pod: not("a pod's frames are dropped: pod.kernel.test.ts"),
    ...outside(wire.notOurs),
  },
};
