// SPDX-License-Identifier: Apache-2.0
// npm run bench:kubernetes: figures of Weft on a real cluster, beside those of kube-proxy and the bridge plugin on the same machine.
import { writeFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { parseArgs } from "node:util";
import { type Figure, figure, figureText } from "../../bench/stats.ts";
import { buildArtifacts } from "../build/build.ts";
import { type Cluster, downCluster, nodesReady, upCluster } from "../cluster/cluster.ts";
import { deployDns, dnsReady } from "../cluster/coredns.ts";
import { defaultOptions } from "../cluster/shape.ts";
import { upWithWeft } from "../cluster/weft.ts";
import { importImage } from "../load/clients.ts";
import { loadImageArchive } from "../load/image.ts";
import { openApi } from "./api.ts";
import { timePlugins } from "./plugins.ts";
import { podBench, podFigures } from "./pods.ts";
import { policyFigures } from "./policy.ts";
import type { Watched } from "./usage.ts";

const networks = ["weft", "bridge"] as const;
type Network = (typeof networks)[number];

const { values } = parseArgs({
  options: {
    network: { type: "string", multiple: true, default: [...networks] },
    rounds: { type: "string", default: "20" },
    name: { type: "string", default: "bench" },
    json: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  },
});

const usage = `Measures Weft as the network of a real Kubernetes: about 15 minutes (and the build of Kubernetes, once), needs root.

npm run bench:kubernetes -- [--network weft|bridge]... [--rounds N] [--json FILE] [--name CLUSTER]

One cluster after the other: with Weft; with kube-proxy (iptables) and the bridge plugin.
--rounds N   pods one by one, and policies (20)`;

const watched: Record<Network, readonly Watched[]> = {
  weft: [
    { name: "agent", pattern: "[d]ist/agent.mjs", nodes: "first" },
    { name: "operator", pattern: "[d]ist/operator.mjs", nodes: "any" },
  ],
  bridge: [{ name: "kube-proxy", pattern: "^[k]ube-proxy ", nodes: "first" }],
};

async function up(network: Network): Promise<Cluster> {
  if (network === "weft") return await upWithWeft({ name: values.name });
  const options = { ...defaultOptions, name: values.name, proxy: "iptables", cni: "bridge" } as const;
  const cluster = await upCluster(options, await buildArtifacts());
  await nodesReady(cluster);
  await deployDns(cluster);
  await dnsReady(cluster);
  return cluster;
}

async function measure(network: Network, progress: (text: string) => void): Promise<Figure[]> {
  const rounds = Number(values.rounds);
  progress("cluster up");
  const cluster = await up(network);
  try {
    await importImage(cluster, loadImageArchive());
    const [node = ""] = cluster.nodes;
    using api = await openApi(cluster);
    timePlugins(cluster, node);
    const figures: Figure[] = [];
    {
      await using bench = await podBench(cluster, api, node);
      figures.push(...(await podFigures({ cluster, bench, watched: watched[network], rounds, progress })));
    }
    if (network === "weft") {
      progress("policies");
      figures.push(...(await policyFigures(cluster, api, rounds)));
    }
    return figures;
  } finally {
    await downCluster(values.name);
  }
}

/** Of what both have, Weft's median to the other's. */
function ratios(of: ReadonlyMap<Network, readonly Figure[]>): Figure[] {
  const others = of.get("bridge") ?? [];
  return (of.get("weft") ?? []).flatMap((ours) => {
    const other = others.find(({ name }) => name === ours.name);
    return other ? [figure(ours.name, "ratio", [ours.median / other.median], "kube-proxy and bridge")] : [];
  });
}

function print(title: string, figures: readonly Figure[]): void {
  console.log(`\n${title}`);
  const width = Math.max(...figures.map(({ name }) => name.length));
  for (const one of figures)
    console.log(
      `  ${one.name.padEnd(width)}  ${one.rounds > 1 ? figureText(one) : one.median.toPrecision(3)} ${one.unit}, n=${one.rounds}`,
    );
}

async function main(): Promise<void> {
  console.log(`${cpus().length} cores, Linux ${release()}, load average ${loadavg()[0]?.toFixed(1)}`);
  const startMs = performance.now();
  const all = new Map<Network, Figure[]>();
  for (const network of networks.filter((name) => values.network.includes(name))) {
    const progress = (text: string) =>
      console.error(
        `${String(Math.round((performance.now() - startMs) / 1000)).padStart(4)} s  ${network}: ${text}`,
      );
    const figures = await measure(network, progress);
    all.set(network, figures);
    print(network === "weft" ? "Weft" : "kube-proxy (iptables) and the bridge plugin", figures);
  }
  const compared = ratios(all);
  if (compared.length > 0) print("Weft to kube-proxy and bridge", compared);
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify(Object.fromEntries(all), null, 2)}\n`);
}

if (values.help) console.log(usage);
else await main();
