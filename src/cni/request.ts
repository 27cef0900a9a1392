// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { CniError } from "./errors.ts";
import type { Frame } from "./frame.ts";

/** Versions of the specification this plugin speaks, oldest first. */
export const CNI_VERSIONS = ["0.4.0", "1.0.0", "1.1.0"] as const;
export type CniVersion = (typeof CNI_VERSIONS)[number];

export type Command = keyof typeof SINCE;

/** One interface of one container. */
export interface Attachment {
  readonly containerId: string;
  readonly ifname: string;
}

/** What the runtime asked for, checked. Fields a command does not use are empty. */
export interface CniRequest extends Attachment {
  readonly command: Command;
  readonly cniVersion: CniVersion;
  /** CNI_NETNS; empty for a DEL whose namespace is gone. */
  readonly netns: string;
  readonly namespace: string;
  readonly pod: string;
  readonly podUid: string;
  readonly config: CniConfig;
}

const attachment = z.object({ containerID: z.string(), ifname: z.string() });

/** Runtimes add keys of their own; those are let pass. */
const configSchema = z.looseObject({
  cniVersion: z.string(),
  name: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/, "not a network name"),
  type: z.string(),
  socket: z.string().optional(),
  ipam: z.unknown().optional(),
  prevResult: z.unknown().optional(),
  "cni.dev/valid-attachments": z.array(attachment).optional(),
});

export type CniConfig = z.infer<typeof configSchema>;

/** The version of the specification each command appeared in. */
const SINCE = {
  ADD: "0.4.0",
  DEL: "0.4.0",
  CHECK: "0.4.0",
  VERSION: "0.4.0",
  GC: "1.1.0",
  STATUS: "1.1.0",
} as const;

/** Commands about one attachment; GC and STATUS are about the network. */
const ATTACHMENT_COMMANDS: readonly Command[] = ["ADD", "DEL", "CHECK"];

/** The version for an answer to a request that cannot be read: the one it names when we speak it. */
export function answerVersion(config: string): CniVersion {
  const named = /"cniVersion"\s*:\s*"([^"]*)"/.exec(config)?.[1];
  return CNI_VERSIONS.find((version) => version === named) ?? "1.1.0";
}

/** @throws CniError naming the variable or the field */
export function parseRequest({ environment, config: text }: Frame): CniRequest {
  const command = environment.get("CNI_COMMAND") ?? "";
  if (!isCommand(command)) throw badVariable("CNI_COMMAND", `"${command}" is not a command`);
  const config = parseConfig(text);
  const cniVersion = negotiate(command, config.cniVersion);
  const about = ATTACHMENT_COMMANDS.includes(command);
  const args = parseArgs(environment.get("CNI_ARGS") ?? "");
  const required = (name: string) => {
    const value = args.get(name);
    if (!value && command === "ADD") throw badVariable("CNI_ARGS", `${name} is missing`);
    return value ?? "";
  };
  return {
    command,
    cniVersion,
    config,
    containerId: about ? containerId(environment.get("CNI_CONTAINERID") ?? "") : "",
    ifname: about ? ifname(environment.get("CNI_IFNAME") ?? "") : "",
    netns: about ? netns(environment.get("CNI_NETNS") ?? "", command) : "",
    namespace: required("K8S_POD_NAMESPACE"),
    pod: required("K8S_POD_NAME"),
    podUid: args.get("K8S_POD_UID") ?? "",
  };
}

function isCommand(text: string): text is Command {
  return Object.hasOwn(SINCE, text);
}

function parseConfig(text: string): CniConfig {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new CniError("cannotDecode", "the network configuration is not JSON", cause);
  }
  const result = configSchema.safeParse(json);
  if (!result.success) {
    const [issue] = result.error.issues;
    const field = issue?.path.join(".") || "configuration";
    throw new CniError("badConfig", `network configuration: ${field}: ${issue?.message ?? "invalid"}`);
  }
  if (result.data.ipam !== undefined) {
    throw new CniError(
      "unsupportedField",
      "network configuration: ipam: addresses come from the node's pod CIDRs",
    );
  }
  return result.data;
}

function negotiate(command: Command, wanted: string): CniVersion {
  const version = CNI_VERSIONS.find((known) => known === wanted);
  if (version === undefined) {
    const known = CNI_VERSIONS.join(", ");
    throw new CniError("incompatibleVersion", `cniVersion "${wanted}" is not spoken here (${known})`);
  }
  if (CNI_VERSIONS.indexOf(version) < CNI_VERSIONS.indexOf(SINCE[command])) {
    throw new CniError(
      "incompatibleVersion",
      `${command} needs cniVersion ${SINCE[command]}, not ${version}`,
    );
  }
  return version;
}

function parseArgs(text: string): Map<string, string> {
  const args = new Map<string, string>();
  for (const pair of text.split(";").filter(Boolean)) {
    const equals = pair.indexOf("=");
    if (equals <= 0) throw badVariable("CNI_ARGS", `"${pair}" is not KEY=VALUE`);
    args.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  return args;
}

function containerId(value: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,255}$/.test(value)) return value;
  throw badVariable("CNI_CONTAINERID", value === "" ? "is not set" : `"${value}" is not a container id`);
}

function ifname(value: string): string {
  if (/^[^\s/:\0]{1,15}$/.test(value) && value !== "." && value !== "..") return value;
  throw badVariable("CNI_IFNAME", value === "" ? "is not set" : `"${value}" is not an interface name`);
}

function netns(value: string, command: Command): string {
  if (value.startsWith("/") || (value === "" && command === "DEL")) return value;
  throw badVariable("CNI_NETNS", value === "" ? "is not set" : `"${value}" is not an absolute path`);
}

function badVariable(name: string, problem: string): CniError {
  return new CniError("badEnvironment", `${name}: ${problem}`);
}
