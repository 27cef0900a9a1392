// SPDX-License-Identifier: Apache-2.0
// What a program asks of the API server, read from its source: every call of a client in the files it imports.
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { type Resource, resources } from "#k8s/resource.ts";

/** `group/plural[/subresource] verb`, as RBAC writes them. */
export type Permission = string;

const root = join(import.meta.dirname, "../..");
/** The clients' own machinery; what it does is known here by name. Events it asks for by itself. */
const machinery = /^src\/(k8s\/(?!events\.)|lib\/)/;
const verbs: Readonly<Record<string, readonly string[]>> = {
  get: ["get"],
  list: ["list"],
  create: ["create"],
  replace: ["update"],
  patch: ["patch"],
  delete: ["delete"],
  reflect: ["list", "watch"],
  runInformer: ["list", "watch"],
};

/** Places where the resource comes from a caller, by `file call`. */
const handedIn: Readonly<Record<string, readonly Resource[]>> = {
  // Of the commands; the relay takes names from the file.
  "src/live/components.ts list": [],
  "src/main/agent-endpoints.ts get": [resources.pods, resources.namespaces],
  "src/operator/policy-check-writer.ts patch": [
    resources.ciliumEgressGatewayPolicies,
    resources.ciliumLocalRedirectPolicies,
  ],
  "src/operator/policy-status.ts reflect": [
    resources.nodePolicyStatuses,
    resources.ciliumNetworkPolicies,
    resources.ciliumClusterwideNetworkPolicies,
    resources.clusterNetworkPolicies,
  ],
  "src/policy/source.ts reflect": [
    resources.networkPolicies,
    resources.ciliumNetworkPolicies,
    resources.ciliumClusterwideNetworkPolicies,
    resources.ciliumCidrGroups,
    resources.clusterNetworkPolicies,
  ],
  "src/policy/tell-condition.ts patch": [
    resources.ciliumNetworkPolicies,
    resources.ciliumClusterwideNetworkPolicies,
    resources.clusterNetworkPolicies,
  ],
};

export interface Asks {
  /** Each with the files that ask for it. */
  readonly permissions: ReadonlyMap<Permission, readonly string[]>;
  /** Calls of which the source does not say what they ask for, and which {@link handedIn} does not know. */
  readonly unclear: readonly string[];
}

/** What the program asks for whose source starts at `entry`. */
export function kubeAsks(entry: string): Asks {
  const permissions = new Map<Permission, string[]>();
  const unclear: string[] = [];
  for (const file of importsOf(entry)) {
    const text = read(file);
    for (const { name, args } of callsIn(text)) {
      const asked = resourceIn(text, name, args) ?? handedIn[`${file} ${name}`];
      const known = verbs[name];
      if (!asked || !known) {
        unclear.push(`${file}: ${name}(${args.slice(0, 80)}`);
        continue;
      }
      const subresource = /subresource: "(\w+)"/.exec(args)?.[1];
      for (const { group, plural } of asked)
        for (const verb of known) {
          const permission = `${group}/${plural}${subresource ? `/${subresource}` : ""} ${verb}`;
          permissions.set(permission, [...(permissions.get(permission) ?? []), file]);
        }
    }
  }
  return { permissions, unclear };
}

/** Entries of {@link handedIn} that no file has a call for. */
export function staleHandedIn(): string[] {
  return Object.keys(handedIn).filter((place) => {
    const [file = "", call] = place.split(" ");
    return !globSync(file, { cwd: root }).some(() => callsIn(read(file)).some(({ name }) => name === call));
  });
}

function read(file: string): string {
  return readFileSync(join(root, file), "utf8");
}

/** Files whose code the program has; imports of types alone bring none. */
function importsOf(entry: string): string[] {
  const files = new Set([entry]);
  for (const file of files)
    for (const [, names = "", from = ""] of read(file).matchAll(
      /^(?:import|export)\s+([^;]*?)\s+from\s+"([^"]+)"/gm,
    )) {
      const target = fileOf(from, file);
      if (target !== undefined && !onlyTypes(names) && !machinery.test(target)) files.add(target);
    }
  return [...files].sort();
}

function fileOf(specifier: string, file: string): string | undefined {
  if (specifier.startsWith(".")) return normalize(join(dirname(file), specifier));
  if (!specifier.startsWith("#")) return undefined;
  return specifier.startsWith("#api/") ? specifier.slice(1) : `src/${specifier.slice(1)}`;
}

function onlyTypes(names: string): boolean {
  if (names.startsWith("type ")) return true;
  const list = /^\{([^}]*)\}$/
    .exec(names)?.[1]
    ?.split(",")
    .map((name) => name.trim());
  return list?.filter(Boolean).every((name) => name.startsWith("type ")) ?? false;
}

/** Calls on something named client, and of what follows a resource. */
function* callsIn(text: string): Generator<{ readonly name: string; readonly args: string }> {
  const follows = /from "#k8s\/(?:reflect|informer)\.ts"/.test(text);
  for (const match of text.matchAll(/\b(?:client\s*\.\s*(\w+)|(reflect|runInformer))(?:<[^()]*?>)?\(/g)) {
    const name = match[1] ?? match[2]!;
    if (match[1] === undefined && !follows) continue;
    yield { name, args: upToClosing(text, match.index + match[0].length) };
  }
}

function upToClosing(text: string, start: number): string {
  let depth = 1;
  let end = start;
  for (; end < text.length && depth > 0; end++)
    depth += "([{".includes(text[end]!) ? 1 : ")]}".includes(text[end]!) ? -1 : 0;
  return text.slice(start, end - 1);
}

/** The resource a call names itself, or by a constant of its file. */
function resourceIn(text: string, name: string, args: string): readonly Resource[] | undefined {
  const followed = name === "reflect" || name === "runInformer";
  const [, word = ""] = (followed ? /\bresource: ([\w.]+)/ : /^\s*([\w.]+)/).exec(args) ?? [];
  const constant = new RegExp(`const ${word || "-"}(?:: \\w+)? = ([^;]+);`).exec(text)?.[1];
  const [, key] = /^resources\.(\w+)$/.exec(word) ?? /^resources\.(\w+)$/.exec(constant ?? "") ?? [];
  if (key !== undefined) return [resources[key as keyof typeof resources]];
  const [, group, plural] = /group: "([^"]*)".*plural: "([^"]+)"/s.exec(constant ?? "") ?? [];
  return group !== undefined && plural !== undefined ? [{ group, version: "", plural }] : undefined;
}
