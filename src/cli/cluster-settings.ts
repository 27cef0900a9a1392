// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { parseAllDocuments, stringify } from "yaml";
import { type AgentConfig, parseAgentConfig } from "#agent/config.ts";
import type { ManifestObject } from "#k8s/manifest.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { type ClusterSettings, settingsOfAgents, usualFirewall } from "#policy/offline/settings.ts";

/** How the agents are set, as options of a command say it. */
export interface SettingsArguments {
  /** A file: see {@link withSettings}. */
  readonly config?: string;
  readonly enforcement?: string;
  readonly audit?: boolean;
  readonly hostFirewall?: boolean;
}

/** Options for what the agents are set to and manifests do not tell. */
export function withSettings(command: Command): Command {
  return command
    .option(
      "--config <file>",
      "the agents' settings: values of the chart, its ConfigMap weft-config, or an agent's own file",
    )
    .option("--enforcement <mode>", "instead of theirs: default, always or never")
    .option("--audit", "instead of theirs: denials are told and not enforced")
    .option("--host-firewall", "instead of theirs: policies with a nodeSelector are in force");
}

/** Name of the chart's ConfigMap, and the key of the agents' file in it. */
const configMapName = "weft-config";
const agentKey = "agent.yaml";

type ConfigMap = ManifestObject & { readonly data?: Readonly<Record<string, string>> };

/** The agents' file out of the chart's ConfigMap, if one is among the objects. */
function settingsText(objects: readonly ManifestObject[]): string | undefined {
  const found = objects.find(
    ({ kind, apiVersion, metadata }) =>
      kind === "ConfigMap" && apiVersion === "v1" && metadata.name === configMapName,
  ) as ConfigMap | undefined;
  return found?.data?.[agentKey];
}

/**
 * The settings that verdicts depend on: what options say, else the file they name, else the ConfigMap among the objects, else the agents' defaults.
 * @param known the agents' file, where a running cluster or the lab tells it
 * @throws WeftError E_USAGE, E_CONFIG naming file and setting
 */
export function clusterSettings(
  args: SettingsArguments,
  objects: readonly ManifestObject[],
  known?: { readonly text: string; readonly path: string; readonly apiServerPort?: number },
): Partial<ClusterSettings> {
  const inside = known?.text ?? settingsText(objects);
  const config =
    args.config !== undefined
      ? readConfig(args.config)
      : inside === undefined
        ? undefined
        : agentConfig(inside, known?.path ?? `ConfigMap ${configMapName}`);
  const base = config && settingsOfAgents(config, known?.apiServerPort);
  const firewall = args.hostFirewall ? (base?.hostFirewall ?? usualFirewall) : base?.hostFirewall;
  return {
    ...base,
    ...(args.enforcement !== undefined && { enforcement: enforcementOf(args.enforcement) }),
    ...(args.audit && { audit: true }),
    ...(firewall && { hostFirewall: firewall }),
  };
}

/** What each node's agent has for itself. */
function agentConfig(text: string, path: string): AgentConfig {
  return parseAgentConfig(text, path, { NODE_NAME: "node" });
}

/** Tells the forms apart: a ConfigMap has a kind, values have `config`, all else is the agents' own file. */
function readConfig(path: string): AgentConfig {
  const text = readText(path);
  const documents = parseAllDocuments(text);
  const values = Array.isArray(documents) ? documents.map((one): unknown => one.toJS()) : [];
  const objects = values.filter(isRecord);
  if (objects.some((one) => "kind" in one && "apiVersion" in one)) {
    const inside = settingsText(objects as unknown as ManifestObject[]);
    if (inside !== undefined) return agentConfig(inside, `${path}, ConfigMap ${configMapName}`);
    throw new WeftError("E_CONFIG", `${path}: there is no ConfigMap ${configMapName} with ${agentKey}`, {
      hint: "`helm template` and `weft install --dry-run` print it",
    });
  }
  const chart = objects.find(({ config }) => isRecord(config));
  if (!chart) return agentConfig(text, path);
  const { config, apiServer } = chart as { readonly config: object; readonly apiServer?: { host?: string } };
  return agentConfig(stringify({ ...config, ...(apiServer?.host && { apiServer }) }), `${path}, config`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readText(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (cause) {
    throw new WeftError("E_CONFIG", `cannot read ${path}: ${errorText(cause)}`, { cause });
  }
}

/** @throws WeftError E_USAGE */
function enforcementOf(text: string): ClusterSettings["enforcement"] {
  if (text === "default" || text === "always" || text === "never") return text;
  throw new WeftError("E_USAGE", `unknown enforcement mode "${text}"`, {
    hint: "one of: default, always, never",
  });
}
