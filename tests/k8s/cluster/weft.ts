// SPDX-License-Identifier: Apache-2.0
/** Clusters whose network is Weft, installed from the image as people install it. */
import { globSync, statSync } from "node:fs";
import { join } from "node:path";
import { type LabProgress, timedStep } from "#lab/progress.ts";
import { WeftError } from "#lib/errors.ts";
import { buildArtifacts } from "../build/build.ts";
import { type Cluster, clusterEnv, downCluster, nodesReady, openCluster, upCluster } from "./cluster.ts";
import { command } from "./command.ts";
import { deployDns, dnsReady } from "./coredns.ts";
import { inNamespace } from "./network.ts";
import { type ClusterOptions, defaultOptions } from "./shape.ts";

const root = join(import.meta.dirname, "../../..");

export interface WeftOptions extends Partial<ClusterOptions> {
  /** Of the chart; `dual-stack` is chosen by itself for a dual-stack cluster. */
  readonly profile?: string;
  /** Values of the chart: `config.routing=native`. */
  readonly set?: readonly string[];
  /** Install with helm instead of `weft install`. */
  readonly helm?: boolean;
}

export interface WeftCluster extends Cluster, AsyncDisposable {}

/**
 * A cluster with Weft as its network and DNS ready. When WEFT_KUBERNETES_CLUSTER names one, that one is used as it is and
 * left running; otherwise one is started, and disposing takes it down.
 */
export async function weftCluster(options: WeftOptions = {}, progress?: LabProgress): Promise<WeftCluster> {
  const given = process.env["WEFT_KUBERNETES_CLUSTER"];
  if (given) return { ...openCluster(given), async [Symbol.asyncDispose]() {} };
  const cluster = await upWithWeft(options, progress);
  return { ...cluster, [Symbol.asyncDispose]: () => downCluster(cluster.options.name) };
}

/** Builds what is missing, starts a cluster, installs Weft and DNS and waits until both are ready. */
export async function upWithWeft(options: WeftOptions, progress?: LabProgress): Promise<Cluster> {
  const archive = await buildImage();
  const all = { ...defaultOptions, ...options, cni: "none", proxy: "none" } as const;
  const artifacts = await buildArtifacts();
  const cluster = await upCluster({ ...all, images: [...all.images, archive] }, artifacts, progress);
  try {
    await timedStep(progress, "Weft installed", () => installWeft(cluster, options));
    await timedStep(progress, "nodes ready", () => nodesReady(cluster));
    if (all.dns) {
      await timedStep(progress, "DNS", async () => {
        await deployDns(cluster);
        await dnsReady(cluster);
      });
    }
  } catch (cause) {
    throw new WeftError("E_CLUSTER_UP", `cluster ${all.name}: Weft did not come up`, {
      cause,
      hint: `it is left as it is: \`main.ts kubectl --name ${all.name} get pods -A\`, then \`main.ts down --name ${all.name}\``,
    });
  }
  return cluster;
}

/** Path of the image's archive, built if it is not newer than the bundles in it. */
export async function buildImage(): Promise<string> {
  await command(["sh", "tools/build.sh"], { cwd: root, timeoutMs: 600_000 });
  const archive = globSync(join(root, "build/image/weft-*.tar"))[0];
  const parts = globSync(["dist/*.mjs", "build/bpf/*.o", "build/native/weft-cni", "charts/weft/**"], {
    cwd: root,
  });
  const newest = Math.max(...parts.map((path) => statSync(join(root, path)).mtimeMs));
  if (archive && statSync(archive).mtimeMs > newest) return archive;
  await command([process.execPath, "tools/image/image.ts"], { cwd: root, timeoutMs: 600_000 });
  const built = globSync(join(root, "build/image/weft-*.tar"))[0];
  if (!built) throw new WeftError("E_IMAGE", "`npm run image` wrote no archive into build/image");
  return built;
}

async function installWeft(cluster: Cluster, options: WeftOptions): Promise<void> {
  const profile = options.profile ?? (cluster.options.families === "dual" ? "dual-stack" : undefined);
  const sets = (options.set ?? []).flatMap((value) => ["--set", value]);
  const argv = options.helm
    ? helmInstall(profile, sets)
    : [join(root, "weft"), "install", "--wait", ...(profile ? ["--profile", profile] : []), ...sets];
  const env = clusterEnv(cluster);
  await command(inNamespace(cluster.layout.netns, argv), { env, cwd: root, timeoutMs: 400_000 });
}

function helmInstall(profile: string | undefined, sets: readonly string[]): string[] {
  const values = profile ? ["-f", join(root, `charts/weft/profiles/${profile}.yaml`)] : [];
  const api = ["--set", "apiServer.host=10.240.0.1,apiServer.port=6443"];
  const chart = join(root, "charts/weft");
  return ["helm", "install", "weft", chart, "-n", "kube-system", "--wait", ...api, ...values, ...sets];
}
