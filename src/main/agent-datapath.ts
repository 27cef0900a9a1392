// SPDX-License-Identifier: Apache-2.0
import { mkdirSync } from "node:fs";
import type { AgentConfig } from "#agent/config.ts";
import type { AgentPaths } from "#agent/paths.ts";
import { accelerationProblem } from "#datapath/accelerate-probe.ts";
import { attachNode, attachSockets } from "#datapath/attach.ts";
import type { AttachTarget } from "#datapath/attach-target.ts";
import { attachBalancer } from "#datapath/attach-xdp.ts";
import { BeforeRecord } from "#datapath/before.ts";
import { tunnelDevice } from "#datapath/devices.ts";
import type { Datapath } from "#datapath/load.ts";
import type { Netlink } from "#kernel/netlink/handle.ts";
import type { Link } from "#kernel/netlink/link-fields.ts";
import type { Logger } from "#lib/log.ts";
import type { Address } from "#model/ip.ts";
import { type Node, nodeAddress } from "#nodes/node.ts";
import { Prefilter } from "#prefilter/prefilter.ts";
import { type NodeDevices, prepareDevices } from "./agent-devices.ts";
import { ensureBpffs, socketCgroup } from "./agent-host.ts";
import { loadPrograms } from "./agent-programs.ts";
import { dsrDispatchOf, familiesOf } from "./agent-settings.ts";

/** The node's share of the datapath, loaded and attached. */
export interface NodeDatapath {
  readonly datapath: Datapath;
  readonly prefilter: Prefilter;
  readonly target: AttachTarget;
  readonly device: Link;
  readonly tunnelIfindex: number;
  /** Names of the node's devices by index, for flows. */
  readonly interfaces: ReadonlyMap<number, string>;
  /** Connections between pods may go past the network. */
  readonly accelerates: boolean;
  /** Why they may not, although they should. */
  readonly accelerationProblem: string | undefined;
  /** Of pods' devices, in bytes. */
  readonly podMtu: number;
  readonly underlay: Address;
  /** What the node's own packets to its pods carry: the router's address under tunnel routing, the node's under native. */
  readonly sources: { readonly v4: Address | undefined; readonly v6: Address | undefined };
}

export interface NodeDatapathDeps {
  readonly config: AgentConfig;
  readonly paths: AgentPaths;
  readonly node: Node;
  readonly netlink: Netlink;
  readonly log: Logger;
}

/** Devices, sysctls, programs, links: everything of the kernel that is the node's and not a pod's. */
export function startNodeDatapath(deps: NodeDatapathDeps): NodeDatapath {
  const { config, paths, node, netlink, log } = deps;
  const dsrDispatch = dsrDispatchOf(config);
  const before = new BeforeRecord(paths.before, log);
  ensureBpffs(config, { before, log });
  mkdirSync(paths.maps, { recursive: true });
  const devices = prepareDevices(deps, before);
  const acceleration = accelerationOf(config, log);
  const { accelerates } = acceleration;
  const datapath = loadPrograms({ config, paths, node, devices, dsrDispatch, accelerates, log });
  // Before the programs are attached: after a restart of the machine no denied packet gets through meanwhile.
  const prefilter = new Prefilter({ map: (name) => datapath.map(name), file: paths.prefilter, log });
  const target = { datapath, linksDir: paths.links, netlink, log };
  attachPrograms(target, devices, config);
  const { device, underlay, podMtu, overlayIfindex, balanced } = devices;
  const interfaces = new Map([[device.index, device.name]]);
  if (overlayIfindex !== undefined) interfaces.set(overlayIfindex, tunnelDevice);
  log.info(
    {
      device: device.name,
      routing: config.routing,
      tunnel: overlayIfindex === undefined ? undefined : tunnelDevice,
      podMtu,
      xdp: balanced.map(({ name }) => name),
    },
    "datapath attached",
  );
  return {
    datapath,
    prefilter,
    target,
    device,
    tunnelIfindex: overlayIfindex ?? 0,
    interfaces,
    ...acceleration,
    podMtu,
    underlay,
    sources: sourcesOf(deps, devices),
  };
}

/** At the node's devices, and at every process's sockets. */
function attachPrograms(target: AttachTarget, devices: NodeDevices, config: AgentConfig): void {
  const { device, overlayIfindex = 0, balanced } = devices;
  attachNode(target, {
    ifindex: device.index,
    tunnelIfindex: overlayIfindex,
    announces: config.l2Announcements.enabled,
  });
  attachBalancer(
    target,
    balanced.map(({ name, index }) => ({ name, ifindex: index })),
    config.xdp.mode,
  );
  using cgroup = socketCgroup(config, target.log);
  attachSockets(target, cgroup.path);
}

function sourcesOf(
  { config, node }: Pick<NodeDatapathDeps, "config" | "node">,
  { routers }: NodeDevices,
): NodeDatapath["sources"] {
  if (config.routing === "tunnel") return routers;
  const families = familiesOf(config);
  return {
    v4: families.includes(4) ? nodeAddress(node, 4) : undefined,
    v6: families.includes(6) ? nodeAddress(node, 6) : undefined,
  };
}

/** A kernel on which connections past the network would not be sound has none; the node works all the same. */
function accelerationOf(
  config: Pick<AgentConfig, "acceleration">,
  log: Logger,
): Pick<NodeDatapath, "accelerates" | "accelerationProblem"> {
  if (config.acceleration.sockmap === "off") return { accelerates: false, accelerationProblem: undefined };
  const problem = accelerationProblem();
  if (problem === undefined) return { accelerates: true, accelerationProblem: undefined };
  const hint = "run Linux 6.14 or newer, or set `acceleration.sockmap: off`";
  log.error({ problem, hint }, "acceleration.sockmap is refused; connections go through the network");
  return { accelerates: false, accelerationProblem: problem };
}
