// SPDX-License-Identifier: Apache-2.0
import type { Netlink } from "#kernel/netlink/handle.ts";
import { deleteLinkInBackground, listLinks } from "#kernel/netlink/link.ts";
import { errorText } from "#lib/errors.ts";
import { attachmentOf, type CniDeps, ownerOf } from "./deps.ts";
import { CniError } from "./errors.ts";
import { hostIfname, isHostIfname } from "./names.ts";
import type { Attachment, CniRequest } from "./request.ts";

/**
 * CNI DEL: undoes all that ADD did; what is gone already is fine, the pod's namespace too. The device goes first: while
 * there is a device there is a policy on it. Its routes and neighbour entries go with it.
 */
export async function del(deps: CniDeps, attachment: Attachment): Promise<void> {
  const { endpoints, ipam, node } = deps;
  const { containerId, ifname } = attachment;
  const name = endpoints.find(containerId, ifname)?.hostIfname ?? hostIfname(attachment);
  await deleteLinkInBackground(name, node.netns === undefined ? {} : { netns: node.netns });
  endpoints.remove(containerId, ifname);
  ipam.release(ownerOf(attachment));
}

/**
 * CNI GC: removes every attachment the runtime no longer knows, then what has no attachment at all. Goes on after a
 * failure and reports all of them.
 * @throws CniError internal
 */
export async function gc(
  deps: CniDeps,
  netlink: Netlink,
  request: CniRequest,
  busy: () => ReadonlySet<string>,
): Promise<void> {
  const valid = request.config["cni.dev/valid-attachments"];
  if (valid === undefined) {
    throw new CniError("badConfig", "network configuration: cni.dev/valid-attachments: is missing");
  }
  const keep = new Set(valid.map(({ containerID, ifname }) => ownerOf({ containerId: containerID, ifname })));
  const problems: string[] = [];
  for (const endpoint of [...deps.endpoints.list()]) {
    const owner = ownerOf(endpoint);
    if (keep.has(owner) || busy().has(owner)) continue;
    deps.log.info(
      { container: endpoint.containerId, pod: `${endpoint.namespace}/${endpoint.pod}` },
      "attachment collected",
    );
    await del(deps, endpoint).catch((error: unknown) => problems.push(`${owner}: ${errorText(error)}`));
  }
  await sweep(deps, netlink, () => new Set([...busy(), ...keep])).catch((error: unknown) =>
    problems.push(errorText(error)),
  );
  if (problems.length > 0)
    throw new CniError("internal", `not everything could be removed: ${problems.join("; ")}`);
}

/** Removes host devices and addresses that belong neither to an endpoint nor to an owner in `keep`. */
async function sweep(deps: CniDeps, netlink: Netlink, keep: () => ReadonlySet<string>): Promise<void> {
  const { endpoints, ipam, node, log } = deps;
  // Asked anew for each device: deleting one takes a while and an ADD may begin meanwhile.
  const inUse = (name: string) =>
    Array.from(endpoints.list()).some((endpoint) => endpoint.hostIfname === name) ||
    Array.from(keep()).some((owner) => hostIfname(attachmentOf(owner)) === name);
  for (const { name } of listLinks(netlink)) {
    if (!isHostIfname(name) || inUse(name)) continue;
    log.info({ device: name }, "device of no endpoint removed");
    await deleteLinkInBackground(name, node.netns === undefined ? {} : { netns: node.netns });
  }
  for (const owner of [...ipam.owners().keys()]) {
    const { containerId, ifname } = attachmentOf(owner);
    if (!keep().has(owner) && endpoints.find(containerId, ifname) === undefined) ipam.release(owner);
  }
}
