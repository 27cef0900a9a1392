// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
import type { Netlink } from "#kernel/netlink/handle.ts";
import { deleteLinkInBackground, getLink } from "#kernel/netlink/link.ts";
import { type CniDeps, ownerOf } from "./deps.ts";
import { CniError } from "./errors.ts";
import { hostIfname, randomMac } from "./names.ts";
import type { CniRequest } from "./request.ts";
import { addResult } from "./result.ts";
import { makePair, openPod, openPodNetns, type Wire, waitOperational, wireNode, wirePod } from "./wiring.ts";

/**
 * CNI ADD: address, veth, endpoint, routes, in this order; whatever fails or is interrupted, all of it is undone.
 * The host side comes up last, when the endpoint's policy is in force, so no packet passes unjudged.
 * @throws CniError or what the steps throw
 */
export async function add(
  deps: CniDeps,
  netlink: Netlink,
  request: CniRequest,
  signal: AbortSignal,
): Promise<Record<string, unknown>> {
  const { ipam, endpoints, node } = deps;
  const reason = deps.notReady();
  if (reason !== undefined) throw new CniError("tryAgain", `try again later: ${reason}`);
  if (endpoints.find(request.containerId, request.ifname) !== undefined) {
    throw new CniError(
      "alreadyAttached",
      `container ${request.containerId} has its ${request.ifname} already`,
    );
  }
  await using undo = new AsyncDisposableStack();
  using handles = new DisposableStack();
  const netns = handles.adopt(openPodNetns(request.netns, node.hostProc), closeSync);
  const pod = handles.use(openPod(netns, request.netns));

  const owner = ownerOf(request);
  const addresses = ipam.allocate(owner);
  undo.defer(() => void ipam.release(owner));

  const name = hostIfname(request);
  const { ifname } = request;
  const wire: Wire = {
    ifname,
    netns,
    hostIfname: name,
    mac: randomMac(),
    hostMac: randomMac(),
    mtu: node.mtu,
  };
  await removeDevice(netlink, name, deps);
  signal.throwIfAborted();
  const hostIfindex = makePair(netlink, pod, wire);
  undo.defer(() => removeDevice(netlink, name, deps));
  wirePod(pod, wire, addresses);

  const { containerId, namespace, pod: podName, podUid, netns: path } = request;
  const { mac, hostMac } = wire;
  await endpoints.create(
    {
      containerId,
      ifname,
      netns: path,
      namespace,
      pod: podName,
      podUid,
      hostIfname: name,
      hostIfindex,
      mac,
      hostMac,
      ...addresses,
    },
    signal,
  );
  undo.defer(() => endpoints.remove(containerId, ifname));
  signal.throwIfAborted();
  wireNode(netlink, hostIfindex, wire, { addresses, node });
  await waitOperational(pod, ifname, addresses, signal);

  undo.move();
  return addResult(request.cniVersion, { ...wire, ...addresses, netns: path });
}

/** Deletes a host side, when there is one (from an ADD that a crash cut short). */
async function removeDevice(netlink: Netlink, name: string, { node }: CniDeps): Promise<void> {
  if (getLink(netlink, name) === undefined) return;
  await deleteLinkInBackground(name, node.netns === undefined ? {} : { netns: node.netns });
}
