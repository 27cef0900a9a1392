// SPDX-License-Identifier: Apache-2.0
// A real Kubernetes cluster on this machine, by hand: `main.ts --help` lists what it does.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { errorText, WeftError } from "#lib/errors.ts";
import { buildArtifacts } from "./build/build.ts";
import {
  type Cluster,
  clusterEnv,
  downCluster,
  listClusters,
  nodesReady,
  openCluster,
  upCluster,
} from "./cluster/cluster.ts";
import { type Component, components } from "./cluster/control-plane.ts";
import { deployDns } from "./cluster/coredns.ts";
import { inNamespace } from "./cluster/network.ts";
import { inNode, nodeRuns } from "./cluster/node.ts";
import { processId } from "./cluster/process.ts";
import { type ClusterOptions, defaultOptions } from "./cluster/shape.ts";
import { upWithWeft } from "./cluster/weft.ts";
import { showStep } from "./progress.ts";

const usage = `usage: main.ts COMMAND [--name NAME] [OPTION...] [ARG...]

  build                        build Kubernetes, its tests and images into the cache (once per version)
  up                           start a cluster
    --nodes N                  2 unless told
    --zones N                  nodes take turns in so many zones; none unless told
    --families v4|dual         v4
    --weft                     with Weft as its network, from the image of this checkout; --profile PROFILE, --set KEY=VALUE, --helm
    --proxy none|iptables|nftables, --cni none|bridge      none: somebody else's network is under test
    --pod-cidr, --pod-cidr6, --service-cidr, --service-cidr6 CIDR
    --no-node-cidrs            nodes get no pod CIDRs
    --no-dns                   without CoreDNS
    --image ARCHIVE            every node has it at start; may be repeated
    --api-server-flag=--FLAG   may be repeated
  down | status | list
  kubectl ARG...               as administrator
  run PROGRAM ARG...           beside the API server, with KUBECONFIG set
  node-exec NODE PROGRAM ARG...     on a node, in all its namespaces
  outside-exec PROGRAM ARG...  on a host of the node network that is no node
  import ARCHIVE...            loads image archives (OCI or docker) on every node
  node-pull NODE | node-start NODE [--wiped]
  stop COMPONENT | start COMPONENT       ${components.join(", ")}
  logs NAME                    of a component, or NODE.kubelet, NODE.containerd, NODE.init

--name is dev unless told or WEFT_KUBERNETES_CLUSTER says otherwise. Options of this command come before ARG.`;

const argumentsOf = {
  name: { type: "string", default: process.env["WEFT_KUBERNETES_CLUSTER"] ?? defaultOptions.name },
  nodes: { type: "string" },
  zones: { type: "string" },
  families: { type: "string" },
  proxy: { type: "string" },
  cni: { type: "string" },
  "pod-cidr": { type: "string" },
  "pod-cidr6": { type: "string" },
  "service-cidr": { type: "string" },
  "service-cidr6": { type: "string" },
  "no-node-cidrs": { type: "boolean" },
  "no-dns": { type: "boolean" },
  image: { type: "string", multiple: true },
  "api-server-flag": { type: "string", multiple: true },
  wiped: { type: "boolean" },
  weft: { type: "boolean" },
  profile: { type: "string" },
  set: { type: "string", multiple: true },
  helm: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** Ours are the known options before the first argument of another program; its own are left alone. */
function split(argv: readonly string[]): { own: string[]; rest: string[] } {
  const own: string[] = [];
  let at = 0;
  for (; at < argv.length && argv[at]!.startsWith("-"); at++) {
    if (argv[at] === "--") {
      at++;
      break;
    }
    const name = argv[at]!.replace(/^--|=.*/g, "");
    const option = argumentsOf[name as keyof typeof argumentsOf];
    if (!option && argv[at] !== "-h") break;
    own.push(argv[at]!);
    if (option?.type === "string" && !argv[at]!.includes("=")) own.push(argv[++at] ?? "");
  }
  return { own, rest: argv.slice(at) };
}

const [verb = "--help", ...argv] = process.argv.slice(2);
const { own, rest } = split(argv);

try {
  const { values } = parseArgs({ args: own, options: argumentsOf });
  if (verb === "--help" || verb === "-h" || values.help) console.log(usage);
  else process.exitCode = await execute(values);
} catch (error) {
  console.error(`weft test cluster: ${errorText(error)}`);
  if (error instanceof WeftError && error.hint) console.error(`  ${error.hint}`);
  process.exitCode = 1;
}

type Values = ReturnType<typeof parseArgs<{ options: typeof argumentsOf }>>["values"];

async function execute(values: Values): Promise<number> {
  const { name } = values;
  const commands: Record<string, () => number | Promise<number>> = {
    async build() {
      console.log((await buildArtifacts()).dir);
      return 0;
    },
    up: () => up(values),
    async down() {
      await downCluster(name);
      return 0;
    },
    list() {
      for (const cluster of listClusters()) console.log(cluster);
      return 0;
    },
    status: () => status(openCluster(name)),
    kubectl: () => within(openCluster(name), ["kubectl", ...rest]),
    run: () => within(openCluster(name), rest),
    "node-exec": () => pass(inNode(openCluster(name), rest[0] ?? "", rest.slice(1)), {}),
    "outside-exec": () => pass(inNamespace(openCluster(name).layout.outsideNetns, rest), {}),
    import: () => importImages(openCluster(name)),
    async "node-pull"() {
      await openCluster(name).pull(rest[0] ?? "");
      return 0;
    },
    async "node-start"() {
      await openCluster(name).start(rest[0] ?? "", { wiped: values.wiped ?? false });
      return 0;
    },
    async stop() {
      await openCluster(name).stopComponent(component());
      return 0;
    },
    async start() {
      await openCluster(name).startComponent(component());
      return 0;
    },
    logs() {
      process.stdout.write(readFileSync(join(openCluster(name).layout.logs, `${rest[0]}.log`)));
      return 0;
    },
  };
  const run = commands[verb];
  if (!run) throw new WeftError("E_USAGE", `no such command: ${verb}`, { hint: "main.ts --help lists them" });
  return run();
}

function component(): Component {
  const found = components.find((name) => name === rest[0]);
  if (found) return found;
  throw new WeftError("E_USAGE", `no such component: ${rest[0]}`, {
    hint: `there are: ${components.join(" ")}`,
  });
}

async function up(values: Values): Promise<number> {
  const given: Partial<Record<keyof ClusterOptions, unknown>> = {
    name: values.name,
    nodes: numberOf(values.nodes),
    zones: numberOf(values.zones),
    families: oneOf("families", values.families, ["v4", "dual"]),
    proxy: oneOf("proxy", values.proxy, ["none", "iptables", "nftables"]),
    cni: oneOf("cni", values.cni, ["none", "bridge"]),
    podCidr: values["pod-cidr"],
    podCidr6: values["pod-cidr6"],
    serviceCidr: values["service-cidr"],
    serviceCidr6: values["service-cidr6"],
    nodeCidrs: !values["no-node-cidrs"],
    dns: !values["no-dns"],
    images: values.image,
    apiServerFlags: values["api-server-flag"],
  };
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const options = { ...defaultOptions, ...set } as ClusterOptions;
  if (values.weft) {
    const { profile, set: sets = [], helm = false } = values;
    return status(
      await upWithWeft({ ...options, set: sets, helm, ...(profile ? { profile } : {}) }, showStep),
    );
  }
  const cluster = await upCluster(options, await buildArtifacts(), showStep);
  if (options.cni !== "none" && options.nodes > 0) await nodesReady(cluster);
  if (options.dns) await deployDns(cluster);
  return status(cluster);
}

function numberOf(value: string | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

function oneOf(name: string, value: string | undefined, allowed: readonly string[]): string | undefined {
  if (value === undefined || allowed.includes(value)) return value;
  throw new WeftError("E_USAGE", `--${name} ${value}: it is one of ${allowed.join(", ")}`);
}

function status(cluster: Cluster): number {
  for (const name of components) {
    console.log(`${name.padEnd(26)}${processId(cluster.layout, name) === undefined ? "stopped" : "runs"}`);
  }
  for (const node of cluster.nodes) {
    console.log(`${node.padEnd(26)}${nodeRuns(cluster.layout, node) ? "runs" : "pulled"}`);
  }
  console.log(
    `kubeconfig ${cluster.layout.kubeconfig} (for programs in namespace ${cluster.layout.netns})\n`,
  );
  return within(cluster, ["kubectl", "get", "nodes", "-o", "wide"]);
}

async function importImages(cluster: Cluster): Promise<number> {
  for (const archive of rest) {
    const loads = cluster.nodes.map(async (node) => {
      const argv = ["ctr", "-n", "k8s.io", "images", "import", archive];
      const { code, stdout, stderr } = await cluster.onNode(node, argv);
      if (code !== 0) throw new WeftError("E_IMAGE", `${node}: ${archive}: ${stderr.trim()}`);
      console.log(`${node}: ${stdout.trim()}`);
    });
    await Promise.all(loads);
  }
  return 0;
}

function within(cluster: Cluster, program: readonly string[]): number {
  return pass(inNamespace(cluster.layout.netns, program), clusterEnv(cluster));
}

/** Runs a program with this one's stdin, stdout and stderr; its exit code. */
function pass(program: readonly string[], env: Readonly<Record<string, string>>): number {
  const { status, error } = spawnSync(program[0]!, program.slice(1), {
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (error) throw error;
  return status ?? 1;
}
