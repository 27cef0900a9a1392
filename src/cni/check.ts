// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
import type { Endpoint } from "#endpoints/endpoint.ts";
import { listAddresses } from "#kernel/netlink/address.ts";
import type { Netlink } from "#kernel/netlink/handle.ts";
import { getLink } from "#kernel/netlink/link.ts";
import { listNeighbours } from "#kernel/netlink/neighbour.ts";
import { listRoutes } from "#kernel/netlink/route.ts";
import { hostPrefix } from "#model/ip.ts";
import type { CniDeps } from "./deps.ts";
import { CniError } from "./errors.ts";
import type { CniRequest } from "./request.ts";
import { defaultPrefix, gatewayOf, openPod, openPodNetns, present } from "./wiring.ts";

/** CNI CHECK: compares both ends with what ADD made. @throws CniError unknownContainer, checkFailed with all that is wrong */
export function check(deps: CniDeps, netlink: Netlink, request: CniRequest): void {
  const endpoint = deps.endpoints.find(request.containerId, request.ifname);
  if (endpoint === undefined) {
    throw new CniError(
      "unknownContainer",
      `container ${request.containerId} has no ${request.ifname} of this network`,
    );
  }
  const problems = [
    ...nodeProblems(netlink, endpoint),
    ...podProblems(request, endpoint, deps.node.hostProc),
  ];
  if (problems.length > 0) {
    throw new CniError("checkFailed", `pod ${endpoint.namespace}/${endpoint.pod}: ${problems.join("; ")}`);
  }
}

function* nodeProblems(netlink: Netlink, endpoint: Endpoint): Generator<string> {
  const { hostIfname, hostIfindex } = endpoint;
  const link = getLink(netlink, hostIfname);
  if (link?.index !== hostIfindex) {
    yield `device ${hostIfname} is gone`;
    return;
  }
  if (!link.up) yield `device ${hostIfname} is down`;
  const routes = new Set(listRoutes(netlink, { link: hostIfindex }).map((route) => route.dst));
  for (const address of present(endpoint)) {
    if (!routes.has(hostPrefix(address))) yield `the node has no route to ${address}`;
  }
}

function* podProblems(
  { netns, ifname }: CniRequest,
  endpoint: Endpoint,
  hostProc: string | undefined,
): Generator<string> {
  using handles = new DisposableStack();
  const pod = handles.use(openPod(handles.adopt(openPodNetns(netns, hostProc), closeSync), netns));
  const link = getLink(pod, ifname);
  if (link === undefined || link.mac !== endpoint.mac) {
    yield `interface ${ifname} is ${link === undefined ? "gone" : "another one"}`;
    return;
  }
  if (!link.up) yield `interface ${ifname} is down`;
  const addresses = new Set(listAddresses(pod, link.index).map((row) => row.address));
  const routes = listRoutes(pod, { link: link.index });
  const neighbours = listNeighbours(pod, link.index);
  for (const address of present(endpoint)) {
    if (!addresses.has(address)) yield `interface ${ifname} has no address ${address}`;
    const gateway = gatewayOf(address);
    if (!routes.some((route) => route.dst === defaultPrefix(address) && route.gateway === gateway)) {
      yield `there is no default route via ${gateway}`;
    }
    if (!neighbours.some((row) => row.address === gateway && row.mac === endpoint.hostMac)) {
      yield `gateway ${gateway} has another or no MAC address`;
    }
  }
}
