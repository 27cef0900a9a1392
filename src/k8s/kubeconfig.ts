// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from "node:fs";
import type { RequestOptions } from "node:https";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parse } from "yaml";
import * as z from "zod";
import { errorText, WeftError } from "#lib/errors.ts";

/** How to reach an API server and who to be there. */
export interface Credentials {
  /** `https://host:6443`, no path behind. */
  readonly server: string;
  readonly namespace: string;
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly servername?: string;
  readonly insecure: boolean;
  /** Asked before every request: tokens are renewed on disk or by a program. */
  token(): Promise<string | undefined>;
}

const clusterSchema = z.object({
  server: z.url(),
  "certificate-authority": z.string().optional(),
  "certificate-authority-data": z.string().optional(),
  "insecure-skip-tls-verify": z.boolean().optional(),
  "tls-server-name": z.string().optional(),
});
const userSchema = z.looseObject({
  token: z.string().optional(),
  tokenFile: z.string().optional(),
  "client-certificate": z.string().optional(),
  "client-certificate-data": z.string().optional(),
  "client-key": z.string().optional(),
  "client-key-data": z.string().optional(),
});
const contextSchema = z.object({
  cluster: z.string(),
  user: z.string().optional(),
  namespace: z.string().optional(),
});
const kubeconfigSchema = z.object({
  "current-context": z.string(),
  clusters: z.array(z.object({ name: z.string(), cluster: clusterSchema })),
  contexts: z.array(z.object({ name: z.string(), context: contextSchema })),
  users: z.array(z.object({ name: z.string(), user: userSchema })).nullish(),
});

const serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Where an API server answers, when the environment's Service address does not (yet): before us nobody balances Services. */
export interface ApiServerAddress {
  readonly host: string;
  readonly port: number;
}

export interface CredentialOptions {
  /** Of the kubeconfig; default: its current one. */
  readonly context?: string;
  /** In a pod: in place of `KUBERNETES_SERVICE_HOST` and `_PORT`. A kubeconfig names its server itself. */
  readonly apiServer?: ApiServerAddress | undefined;
  /** Where a pod has its token; for tests. */
  readonly serviceAccountDir?: string;
}

/**
 * Credentials from the file given, else `$KUBECONFIG`, else the pod's service account, else `~/.kube/config`.
 * @throws WeftError E_KUBECONFIG naming the file and what is wrong with it
 */
export async function loadCredentials(
  path?: string,
  { context, apiServer, serviceAccountDir: dir = serviceAccountDir }: CredentialOptions = {},
): Promise<Credentials> {
  const file = path ?? process.env.KUBECONFIG?.split(":").find((part) => part !== "");
  if (file) return fromFile(file, context);
  const at = apiServer ?? inClusterAddress();
  if (at && existsSync(join(dir, "token"))) return inCluster(at, dir);
  const home = join(homedir(), ".kube", "config");
  if (existsSync(home)) return fromFile(home, context);
  throw new WeftError("E_KUBECONFIG", "there is no kubeconfig", {
    hint: "give one with --kubeconfig or set KUBECONFIG",
  });
}

function inClusterAddress(): ApiServerAddress | undefined {
  const host = process.env.KUBERNETES_SERVICE_HOST;
  return host ? { host, port: Number(process.env.KUBERNETES_SERVICE_PORT ?? 443) } : undefined;
}

function inCluster({ host, port }: ApiServerAddress, dir: string): Credentials {
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    namespace: readFileSync(join(dir, "namespace"), "utf8").trim(),
    ca: readFileSync(join(dir, "ca.crt")),
    insecure: false,
    token: tokenFromFile(join(dir, "token")),
  };
}

async function fromFile(file: string, contextName?: string): Promise<Credentials> {
  const fail = (problem: string, cause?: unknown) =>
    new WeftError("E_KUBECONFIG", `${file}: ${problem}`, { cause });
  let raw: unknown;
  try {
    raw = parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw fail(`cannot be read: ${errorText(cause)}`, cause);
  }
  const parsed = kubeconfigSchema.safeParse(raw);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw fail(`${issue.path.join(".") || "file"}: ${issue.message}`);
  }
  const config = parsed.data;
  const wanted = contextName ?? config["current-context"];
  const context = config.contexts.find((entry) => entry.name === wanted)?.context;
  if (!context) throw fail(`there is no context "${wanted}"`);
  const cluster = config.clusters.find((entry) => entry.name === context.cluster)?.cluster;
  if (!cluster) throw fail(`there is no cluster "${context.cluster}"`);
  const user = config.users?.find((entry) => entry.name === context.user)?.user ?? {};
  const data = (inline: string | undefined, path: string | undefined) => {
    if (inline !== undefined) return Buffer.from(inline, "base64");
    return path === undefined ? undefined : readFileSync(resolve(dirname(file), path));
  };
  const ca = data(cluster["certificate-authority-data"], cluster["certificate-authority"]);
  const servername = cluster["tls-server-name"];
  const base = {
    server: cluster.server.replace(/\/+$/, ""),
    namespace: context.namespace ?? "default",
    insecure: cluster["insecure-skip-tls-verify"] === true,
    ...(ca && { ca }),
    ...(servername && { servername }),
  };
  if ("exec" in user || "auth-provider" in user) return { ...base, ...(await fromProvider(file, wanted)) };
  const cert = data(user["client-certificate-data"], user["client-certificate"]);
  const key = data(user["client-key-data"], user["client-key"]);
  const token = user.tokenFile
    ? tokenFromFile(resolve(dirname(file), user.tokenFile))
    : async () => user.token;
  return { ...base, ...(cert && { cert }), ...(key && { key }), token };
}

/** A projected token is renewed on disk: read at most once a minute. */
function tokenFromFile(path: string): () => Promise<string> {
  let token = "";
  let readAtMs = Number.NEGATIVE_INFINITY;
  return async () => {
    const nowMs = performance.now();
    if (nowMs - readAtMs > 60_000) {
      token = readFileSync(path, "utf8").trim();
      readAtMs = nowMs;
    }
    return token;
  };
}

/**
 * Programs and cloud providers that hand out credentials are client-node's trade. Loaded only when asked for: it costs
 * over a second and 80 MB.
 */
async function fromProvider(
  file: string,
  context: string,
): Promise<Pick<Credentials, "token" | "cert" | "key">> {
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  config.loadFromFile(file);
  config.setCurrentContext(context);
  const ask = async () => {
    const options: RequestOptions = { headers: {} };
    await config.applyToHTTPSOptions(options);
    return options;
  };
  const first = await ask();
  const token = async () => {
    const headers = (await ask()).headers as Record<string, string> | undefined;
    return headers?.Authorization?.replace(/^Bearer /, "");
  };
  const { cert, key } = first;
  return {
    token,
    ...(cert && { cert: cert as string | Buffer }),
    ...(key && { key: key as string | Buffer }),
  };
}
