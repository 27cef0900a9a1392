// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { WeftError } from "#lib/errors.ts";
import { type Address, nthAddress, type Prefix, parsePrefix } from "#model/ip.ts";

export type Routing = "tunnel" | "native";
export type Families = "v4" | "v6" | "dual";

/** A second lab beside the usual one has a name (`WEFT_LAB=test weft lab up`); a command means the lab its environment names. */
function labName(): string {
  const name = process.env.WEFT_LAB ?? "";
  if (!/^[a-z0-9]{0,12}$/.test(name)) {
    throw new WeftError("E_LAB", `WEFT_LAB="${name}" is no name for a lab`, {
      hint: "up to 12 lower-case letters and digits",
    });
  }
  return name;
}

/** Everything the lab makes carries this in its name, so that it can be found and removed without a record. */
export const PREFIX = labName() === "" ? "weft-lab" : `weft-${labName()}-lab`;
export const STATE_DIR = `/run/${PREFIX}`;
/** Of a detached supervisor. Outside the state directory, which goes when the supervisor cleans up at its start. */
export const DETACHED_LOG = `${STATE_DIR}-supervisor.log`;
const BPF_ROOT = "/sys/fs/bpf";
export const BPF_DIR = `${BPF_ROOT}/${PREFIX}`;
export const WORLD = `${PREFIX}-world`;
/** The bridge in the world's namespace; nodes are its ports. */
export const BRIDGE = "fabric";
/** Namespaces of pods are called `weft-lab-p-<pod>-<5 digits of the sandbox>`. */
export const POD_NETNS_PREFIX = `${PREFIX}-p-`;
export const MAX_NODES = 64;
export const API_PORT = 6443;
/** The API server on the host's loopback: for kubectl and for the nodes' relay in the world. */
export const HOST_API_PORT = 16443;

const fabric = { v4: parsePrefix("172.30.0.0/24"), v6: parsePrefix("fd00:30::/64") };
/** Service addresses; the API server hands them out. */
export const serviceCidrs = { v4: parsePrefix("10.96.0.0/16"), v6: parsePrefix("fd00:10:96::/112") };
export const clusterDns = { v4: nthAddress(serviceCidrs.v4, 10), v6: nthAddress(serviceCidrs.v6, 10) };

/** Where one node's things are. */
export interface NodePlan {
  readonly name: string;
  /** 1, 2, … */
  readonly index: number;
  /** Name in /run/netns. */
  readonly netns: string;
  /** In the order of the lab's families. */
  readonly addresses: readonly Address[];
  readonly podCidrs: readonly Prefix[];
  readonly dir: string;
  readonly agentConfig: string;
  readonly agentLog: string;
  readonly operatorConfig: string;
  readonly operatorLog: string;
  readonly nodeConfig: string;
  readonly nodeLog: string;
  /** The kubelet's unix socket: exec, logs, probe. */
  readonly kubelet: string;
  readonly kubeconfig: string;
  readonly runDir: string;
  readonly stateDir: string;
  readonly cniConfDir: string;
  readonly bpfDir: string;
  /** Path below the cgroup2 mount. */
  readonly cgroup: string;
  /** TCP ports of the node's agent, on its own address. */
  readonly observerPort: number;
  readonly metricsPort: number;
}

export interface LabPlan {
  readonly families: Families;
  readonly routing: Routing;
  readonly nodes: readonly NodePlan[];
  /** The outside: default gateway of the nodes, in the order of the families. */
  readonly gateways: readonly Address[];
  readonly serviceCidrs: readonly Prefix[];
}

export interface LabShape {
  readonly nodes: number;
  readonly routing: Routing;
  readonly families: Families;
}

/** Addresses, names and paths of a lab: a pure function, so `down` and `status` know them without asking. */
export function planLab(shape: LabShape): LabPlan {
  if (!Number.isInteger(shape.nodes) || shape.nodes < 1 || shape.nodes > MAX_NODES) {
    throw new WeftError("E_LAB", `a lab has 1 to ${MAX_NODES} nodes, not ${shape.nodes}`);
  }
  const { families, routing } = shape;
  const nodes = Array.from({ length: shape.nodes }, (_, i) => planNode(i + 1, families));
  return {
    families,
    routing,
    nodes,
    gateways: byFamily(families, nthAddress(fabric.v4, 1), nthAddress(fabric.v6, 1)),
    serviceCidrs: byFamily(families, serviceCidrs.v4, serviceCidrs.v6),
  };
}

function planNode(index: number, families: Families): NodePlan {
  const name = `n${index}`;
  const dir = join(STATE_DIR, "nodes", name);
  return {
    name,
    index,
    netns: `${PREFIX}-${name}`,
    addresses: byFamily(families, nthAddress(fabric.v4, 10 + index), nthAddress(fabric.v6, 0x10 + index)),
    podCidrs: byFamily(
      families,
      parsePrefix(`10.244.${index}.0/24`),
      parsePrefix(`fd00:10:244:${index.toString(16)}::/64`),
    ),
    dir,
    agentConfig: join(dir, "agent.yaml"),
    agentLog: join(dir, "agent.log"),
    operatorConfig: join(dir, "operator.yaml"),
    operatorLog: join(dir, "operator.log"),
    nodeConfig: join(dir, "node.json"),
    nodeLog: join(dir, "node.log"),
    kubelet: join(dir, "kubelet.sock"),
    kubeconfig: join(dir, "kubeconfig"),
    runDir: join(dir, "run"),
    stateDir: join(dir, "state"),
    cniConfDir: join(dir, "cni"),
    bpfDir: `${BPF_DIR}/${name}`,
    cgroup: `${PREFIX}/${name}`,
    observerPort: 4244,
    metricsPort: 9962,
  };
}

/** v4 first in dual stack, as the API server's service families are. */
export function byFamily<T>(families: Families, v4: T, v6: T): T[] {
  if (families === "dual") return [v4, v6];
  return families === "v4" ? [v4] : [v6];
}

/** Prefix length of the fabric in the address's family. */
export function fabricBits(address: Address): number {
  return address.includes(":") ? 64 : 24;
}

export const statePaths = {
  /** Written by the supervisor: pid, shape, addresses. */
  record: join(STATE_DIR, "lab.json"),
  /** The supervisor's own API: status, probe. */
  socket: join(STATE_DIR, "lab.sock"),
  kubeconfig: join(STATE_DIR, "kubeconfig"),
  supervisorLog: join(STATE_DIR, "supervisor.log"),
  observer: join(STATE_DIR, "observer.sock"),
  nodes: join(STATE_DIR, "nodes"),
} as const;
