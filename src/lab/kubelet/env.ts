// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import type { Container, EnvVar, Pod, Service } from "../objects.ts";

/** Where a container's variables come from besides its own spec. */
export interface EnvSources {
  /** Data of a ConfigMap or (decoded) Secret in the pod's namespace; undefined when there is none. */
  configMap(name: string): Promise<Record<string, string> | undefined>;
  secret(name: string): Promise<Record<string, string> | undefined>;
  /** Services of the pod's namespace. */
  services(): Iterable<Service>;
  readonly podIps: readonly string[];
  readonly hostIps: readonly string[];
}

type Env = Record<string, string>;

/**
 * A container's environment: service variables, envFrom, then env with `$(NAME)` replaced.
 * @throws WeftError E_CONTAINER_CONFIG when a source that is not optional is missing.
 */
export async function containerEnv(pod: Pod, container: Container, sources: EnvSources): Promise<Env> {
  const env: Env = {};
  if (pod.spec.enableServiceLinks !== false)
    for (const service of sources.services()) serviceEnv(env, service);
  for (const { prefix = "", configMapRef, secretRef } of container.envFrom ?? []) {
    const ref = configMapRef ?? secretRef;
    if (!ref) continue;
    const data = configMapRef ? await sources.configMap(ref.name) : await sources.secret(ref.name);
    if (!data && !ref.optional) throw missing(configMapRef ? "ConfigMap" : "Secret", ref.name);
    for (const [key, value] of Object.entries(data ?? {})) env[prefix + key] = value;
  }
  for (const variable of container.env ?? []) {
    const value = await variableValue(variable, { pod, sources, env });
    if (value !== undefined) env[variable.name] = value;
  }
  return env;
}

interface Context {
  readonly pod: Pod;
  readonly sources: EnvSources;
  readonly env: Env;
}

async function variableValue(variable: EnvVar, { pod, sources, env }: Context): Promise<string | undefined> {
  const from = variable.valueFrom;
  if (!from) return expand(variable.value ?? "", env);
  if (from.fieldRef) return fieldValue(pod, from.fieldRef.fieldPath, sources);
  if (from.resourceFieldRef) return "0";
  const ref = from.configMapKeyRef ?? from.secretKeyRef;
  if (!ref) return undefined;
  const kind = from.configMapKeyRef ? "ConfigMap" : "Secret";
  const data = from.configMapKeyRef ? await sources.configMap(ref.name) : await sources.secret(ref.name);
  const value = data?.[ref.key];
  if (value === undefined && !ref.optional) throw missing(kind, `${ref.name}, key ${ref.key}`);
  return value;
}

/** Replaces `$(NAME)` by what is set so far; `$$` is a dollar sign. */
function expand(text: string, env: Env): string {
  return text.replace(/\$\$|\$\(([^)]+)\)/g, (whole, name: string | undefined) =>
    name === undefined ? "$" : (env[name] ?? whole),
  );
}

function fieldValue(pod: Pod, path: string, sources: EnvSources): string {
  const keyed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (keyed) return pod.metadata[keyed[1] as "labels" | "annotations"]?.[keyed[2]!] ?? "";
  switch (path) {
    case "metadata.name":
      return pod.metadata.name;
    case "metadata.namespace":
      return pod.metadata.namespace ?? "";
    case "metadata.uid":
      return pod.metadata.uid ?? "";
    case "spec.nodeName":
      return pod.spec.nodeName ?? "";
    case "spec.serviceAccountName":
      return pod.spec.serviceAccountName ?? "default";
    case "status.podIP":
      return sources.podIps[0] ?? "";
    case "status.podIPs":
      return sources.podIps.join(",");
    case "status.hostIP":
      return sources.hostIps[0] ?? "";
    case "status.hostIPs":
      return sources.hostIps.join(",");
    default:
      throw new WeftError("E_CONTAINER_CONFIG", `fieldRef "${path}" is not one a container can ask for`);
  }
}

function serviceEnv(env: Env, service: Service): void {
  const { clusterIP, ports = [] } = service.spec;
  const first = ports[0];
  if (!clusterIP || clusterIP === "None" || !first) return;
  const name = service.metadata.name.toUpperCase().replaceAll("-", "_");
  env[`${name}_SERVICE_HOST`] = clusterIP;
  env[`${name}_SERVICE_PORT`] = String(first.port);
  const host = clusterIP.includes(":") ? `[${clusterIP}]` : clusterIP;
  env[`${name}_PORT`] = `${(first.protocol ?? "TCP").toLowerCase()}://${host}:${first.port}`;
  for (const port of ports) {
    if (port.name)
      env[`${name}_SERVICE_PORT_${port.name.toUpperCase().replaceAll("-", "_")}`] = String(port.port);
    const protocol = (port.protocol ?? "TCP").toLowerCase();
    const stem = `${name}_PORT_${port.port}_${protocol.toUpperCase()}`;
    env[stem] = `${protocol}://${host}:${port.port}`;
    env[`${stem}_PROTO`] = protocol;
    env[`${stem}_PORT`] = String(port.port);
    env[`${stem}_ADDR`] = clusterIP;
  }
}

function missing(kind: string, name: string): WeftError {
  return new WeftError("E_CONTAINER_CONFIG", `${kind} ${name} does not exist`);
}
