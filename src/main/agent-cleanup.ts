// SPDX-License-Identifier: Apache-2.0

import { existsSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { removeCniConf } from "#agent/cni-conf.ts";
import { removeCniPrograms } from "#agent/cni-program.ts";
import type { AgentConfig } from "#agent/config.ts";
import { agentPaths } from "#agent/paths.ts";
import { isHostIfname, routeProtocol as podRouteProtocol } from "#cni/names.ts";
import { dropAcceleration } from "#datapath/accelerate.ts";
import { readBefore, restoreSysctls } from "#datapath/before.ts";
import { nodeNatPorts, removeTunnel, tunnelDevice } from "#datapath/devices.ts";
import { BpfLink } from "#kernel/bpf/link.ts";
import { hasErrno } from "#kernel/errno.ts";
import { unmount } from "#kernel/mounts.ts";
import { type Netlink, openNetlink } from "#kernel/netlink/handle.ts";
import { deleteLink, getLink, listLinks } from "#kernel/netlink/link.ts";
import { deleteRoute, listRoutes } from "#kernel/netlink/route.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { routeProtocol } from "#nodes/ops.ts";
import { findSysctls, onHost } from "./agent-host.ts";

/** Says what a step did; a step that finds nothing says nothing. */
type Print = (line: string) => void;

/** How long an agent that is being stopped may take to be gone. */
const agentGoneMs = 30_000;

/**
 * Takes from the node all that agents put there, and puts back what they changed: `weft-agent cleanup`. May be repeated, also after a crash in the
 * middle. Pods that still run lose their devices, and with them their network: whatever network comes next has to make them anew.
 * Goes on after a failure and reports all of them.
 * @throws WeftError E_CLEANUP; E_AGENT_RUNS when the agent of this node does not end
 */
export async function cleanNode(config: AgentConfig, print: Print, waitMs = agentGoneMs): Promise<void> {
  const paths = agentPaths(config);
  await agentGone(paths.api, waitMs);
  findSysctls(config);
  const before = readBefore(paths.before);
  using netlink = openNetlink();
  const problems: string[] = [];
  const step = (name: string, act: () => void) => {
    try {
      act();
    } catch (error) {
      problems.push(`${name}: ${errorText(error)}`);
    }
  };
  // First what brings new pods here, last what the next attempt needs.
  step("CNI configuration", () => {
    if (removeCniConf(config.cniConfDir)) print(`removed the CNI configuration in ${config.cniConfDir}`);
  });
  step("connections past the network", () => dropAcceleration(paths.links));
  step("programs", () => detachLinks(paths.links, print));
  step("pods' devices", () => removePodDevices(netlink, print));
  step("routes", () => removeRoutes(netlink, print));
  step("tunnel", () => {
    if (getLink(netlink, tunnelDevice) === undefined) return;
    removeTunnel(netlink);
    print(`removed device ${tunnelDevice}`);
  });
  step("kernel parameters", () => {
    if (before) for (const line of restoreSysctls(before, nodeNatPorts())) print(line);
  });
  step("maps", () => removeTree(config, config.bpfDir, print));
  step("bpffs", () => {
    if (before?.bpffs) removeBpffs(config, print);
  });
  step("CNI programs", () => {
    for (const path of removeCniPrograms(config.cniBinDir)) print(`removed ${path}`);
  });
  step("sockets", () => removeTree(config, config.runDir, print));
  if (problems.length === 0) step("state", () => removeTree(config, config.stateDir, print));
  if (problems.length > 0)
    throw new WeftError("E_CLEANUP", `not everything could be removed: ${problems.join("; ")}`, {
      hint: "run it again",
    });
}

/** Resolves when nobody answers on the agent's socket. */
async function agentGone(socket: string, waitMs: number): Promise<void> {
  const deadline = performance.now() + waitMs;
  while (await answers(socket)) {
    if (performance.now() > deadline)
      throw new WeftError("E_AGENT_RUNS", `an agent still serves ${socket}`, {
        hint: "delete the DaemonSet weft first",
      });
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => end(true)).once("error", () => end(false));
  });
}

/** Detached at once, not when the last process that holds a link ends. */
function detachLinks(dir: string, print: Print): void {
  if (!existsSync(dir)) return;
  const names = readdirSync(dir);
  for (const name of names) {
    const path = join(dir, name);
    try {
      using link = BpfLink.openPinned(path);
      link.detach();
    } catch (error) {
      // Its device or cgroup is gone.
      if (!hasErrno(error, "ENOLINK", "EOPNOTSUPP")) throw error;
    }
    rmSync(path, { force: true });
  }
  if (names.length > 0) print(`detached ${names.length} program(s)`);
}

/** Filters, routes and neighbour entries go with the devices. */
function removePodDevices(netlink: Netlink, print: Print): void {
  const names = listLinks(netlink)
    .map(({ name }) => name)
    .filter(isHostIfname);
  for (const name of names) deleteLink(netlink, name);
  if (names.length > 0)
    print(`removed the devices of ${names.length} pod(s): they are without network until they are made anew`);
}

function removeRoutes(netlink: Netlink, print: Print): void {
  let count = 0;
  for (const protocol of [routeProtocol, podRouteProtocol]) {
    for (const { dst, type, protocol: of } of listRoutes(netlink, { protocol })) {
      deleteRoute(netlink, { dst, scope: "nowhere", ...(type && { type }), ...(of && { protocol: of }) });
      count++;
    }
  }
  if (count > 0) print(`removed ${count} route(s)`);
}

/** What is a mount point in this container is emptied here and removed on the host. */
function removeTree(config: AgentConfig, dir: string, print: Print): void {
  if (!existsSync(dir)) return;
  for (const name of readdirSync(dir)) rmSync(join(dir, name), { recursive: true, force: true });
  onHost(config, () => {
    try {
      rmdirSync(dir);
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
    }
  });
  print(`removed ${dir}`);
}

function removeBpffs(config: AgentConfig, print: Print): void {
  if (readdirSync("/sys/fs/bpf").length > 0) {
    print("left the bpffs: somebody else has pins there");
    return;
  }
  onHost(config, () => unmount("/sys/fs/bpf"));
  print("unmounted the bpffs");
}
