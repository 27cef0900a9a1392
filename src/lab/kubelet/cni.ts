// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { access, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errorText, WeftError } from "#lib/errors.ts";

/** A network configuration list (CNI specification 1.1, section 1). */
export interface ConfList {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly (Record<string, unknown> & { readonly type: string })[];
}

export interface CniResult {
  readonly cniVersion?: string;
  readonly interfaces?: readonly {
    readonly name: string;
    readonly mac?: string;
    readonly sandbox?: string;
  }[];
  readonly ips?: readonly {
    readonly address: string;
    readonly gateway?: string;
    readonly interface?: number;
  }[];
  readonly routes?: readonly { readonly dst: string; readonly gw?: string }[];
}

export interface Attachment {
  readonly containerId: string;
  /** Path of the pod's network namespace; "" when it is gone (only for DEL). */
  readonly netns: string;
  readonly ifname: string;
  readonly namespace: string;
  readonly pod: string;
  readonly uid: string;
}

export interface CniRuntime {
  readonly confDir: string;
  /** Where plugin programs are, in the order of looking (CNI_PATH). */
  readonly binDirs: readonly string[];
}

/** What a plugin answered instead of a result; `plugin` is its error code (CNI specification, section 5). */
export class CniError extends WeftError {
  readonly plugin: number | undefined;

  constructor(message: string, plugin?: number) {
    super("E_CNI", message);
    this.plugin = plugin;
  }
}

type Command = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS";

const TIMEOUT_MS = 30_000;
const MAX_OUTPUT = 1 << 20;

/** The first configuration of the directory by name, as container runtimes choose; undefined when there is none. */
export async function loadConfList(confDir: string): Promise<ConfList | undefined> {
  const names = await readdir(confDir).catch(() => []);
  for (const name of names.sort()) {
    if (!/\.(conflist|conf|json)$/.test(name)) continue;
    const path = join(confDir, name);
    try {
      const conf = JSON.parse(await readFile(path, "utf8")) as Partial<ConfList> & {
        type?: string;
        cniVersions?: string[];
      };
      const plugins = conf.plugins ?? (conf.type ? [conf as ConfList["plugins"][number]] : []);
      if (conf.name && plugins.length > 0)
        return {
          cniVersion: highest([conf.cniVersion ?? "0.3.1", ...(conf.cniVersions ?? [])]),
          name: conf.name,
          plugins,
        };
    } catch (cause) {
      throw new WeftError("E_CNI_CONF", `CNI configuration ${path} cannot be read`, { cause });
    }
  }
  return undefined;
}

/** Runs ADD of every plugin, each given the result so far; what was added is deleted again when a later one fails. */
export async function cniAdd(
  runtime: CniRuntime,
  list: ConfList,
  attachment: Attachment,
): Promise<CniResult> {
  let result: CniResult | undefined;
  try {
    for (const plugin of list.plugins) {
      const output = await execute(runtime, "ADD", { list, plugin, attachment, prevResult: result });
      result = JSON.parse(output) as CniResult;
    }
  } catch (thrown) {
    await cniDel(runtime, list, attachment).catch(() => {});
    throw thrown;
  }
  return result ?? {};
}

/** Runs DEL in reverse order; every plugin gets its turn, the first failure is thrown at the end. */
export async function cniDel(
  runtime: CniRuntime,
  list: ConfList,
  attachment: Attachment,
  result?: CniResult,
): Promise<void> {
  let failure: unknown;
  for (const plugin of [...list.plugins].reverse()) {
    try {
      await execute(runtime, "DEL", { list, plugin, attachment, prevResult: result });
    } catch (thrown) {
      failure ??= thrown;
    }
  }
  if (failure !== undefined) throw failure;
}

/** @throws WeftError E_CNI when a plugin finds the attachment not as ADD left it. */
export async function cniCheck(
  runtime: CniRuntime,
  list: ConfList,
  attachment: Attachment,
  result: CniResult,
): Promise<void> {
  for (const plugin of list.plugins)
    await execute(runtime, "CHECK", { list, plugin, attachment, prevResult: result });
}

/** Tells every plugin which attachments are still wanted (CNI 1.1). */
export async function cniGc(
  runtime: CniRuntime,
  list: ConfList,
  valid: readonly Attachment[],
): Promise<void> {
  if (!isAtLeast(list.cniVersion, 1, 1)) return;
  const attachments = valid.map(({ containerId, ifname }) => ({ containerID: containerId, ifname }));
  for (const plugin of list.plugins) await execute(runtime, "GC", { list, plugin, attachments });
}

/** @throws WeftError E_CNI when a plugin says it cannot take ADD now. */
export async function cniStatus(runtime: CniRuntime, list: ConfList): Promise<void> {
  if (!isAtLeast(list.cniVersion, 1, 1)) return;
  for (const plugin of list.plugins) await execute(runtime, "STATUS", { list, plugin });
}

/** Of the versions a configuration offers, the one to speak (CNI 1.1, "cniVersions"); ours is the newest there is. */
function highest(versions: readonly string[]): string {
  return versions.reduce((best, version) => {
    const [major = 0, minor = 0] = version.split(".").map(Number);
    return isAtLeast(best, major, minor) ? best : version;
  });
}

function isAtLeast(version: string, major: number, minor: number): boolean {
  const [a = 0, b = 0] = version.split(".").map(Number);
  return a > major || (a === major && b >= minor);
}

interface Call {
  readonly list: ConfList;
  readonly plugin: ConfList["plugins"][number];
  readonly attachment?: Attachment;
  readonly prevResult?: CniResult | undefined;
  readonly attachments?: readonly { containerID: string; ifname: string }[];
}

async function execute(runtime: CniRuntime, command: Command, call: Call): Promise<string> {
  const { list, plugin, attachment } = call;
  const conf = {
    ...plugin,
    cniVersion: list.cniVersion,
    name: list.name,
    ...(call.prevResult && { prevResult: call.prevResult }),
    ...(call.attachments && { "cni.dev/valid-attachments": call.attachments }),
  };
  const env: Record<string, string> = {
    PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
    CNI_COMMAND: command,
    CNI_PATH: runtime.binDirs.join(":"),
  };
  if (attachment) {
    env.CNI_CONTAINERID = attachment.containerId;
    env.CNI_NETNS = attachment.netns;
    env.CNI_IFNAME = attachment.ifname;
    env.CNI_ARGS = [
      "IgnoreUnknown=1",
      `K8S_POD_NAMESPACE=${attachment.namespace}`,
      `K8S_POD_NAME=${attachment.pod}`,
      `K8S_POD_INFRA_CONTAINER_ID=${attachment.containerId}`,
      `K8S_POD_UID=${attachment.uid}`,
    ].join(";");
  }
  const program = await findPlugin(runtime, plugin.type);
  return await run(program, { env, input: JSON.stringify(conf), what: `CNI ${command} (${plugin.type})` });
}

async function findPlugin(runtime: CniRuntime, type: string): Promise<string> {
  for (const dir of runtime.binDirs) {
    const path = join(dir, type);
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  throw new WeftError("E_CNI", `CNI plugin "${type}" is in none of ${runtime.binDirs.join(", ")}`);
}

interface Run {
  readonly env: Record<string, string>;
  readonly input: string;
  readonly what: string;
}

/** Exit code 0: stdout. Otherwise stdout is an error object with `code`, `msg` and `details`. */
function run(program: string, { env, input, what }: Run): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [], {
      env,
      stdio: ["pipe", "pipe", "pipe"],
      timeout: TIMEOUT_MS,
      killSignal: "SIGKILL",
    });
    let [out, err] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => {
      if (out.length < MAX_OUTPUT) out += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      if (err.length < 4096) err += chunk.toString();
    });
    // A plugin that fails early closes its stdin: its exit code says why.
    child.stdin.on("error", () => {});
    child.once("error", (cause) =>
      reject(new WeftError("E_CNI", `${what}: ${program} cannot be run`, { cause })),
    );
    child.once("close", (code, signal) => {
      if (code === 0) resolve(out);
      else reject(failure(what, { out, err, how: signal ? `killed by ${signal}` : `exit code ${code}` }));
    });
    child.stdin.end(input);
  });
}

function failure(what: string, { out, err, how }: { out: string; err: string; how: string }): CniError {
  try {
    const { code, msg, details } = JSON.parse(out) as { code?: number; msg?: string; details?: string };
    return new CniError(`${what}: ${msg ?? how}${details ? `: ${details}` : ""} (code ${code})`, code);
  } catch (thrown) {
    return new CniError(`${what}: ${how}: ${(err || out).trim().slice(0, 500) || errorText(thrown)}`);
  }
}
