// SPDX-License-Identifier: Apache-2.0
/** The Go modules the programs are built in: written into the cache, never into the checkout. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "../cluster/command.ts";
import { goEnv, type ModuleName, requires, versions } from "./recipe.ts";

export interface GoTool {
  /** Path of the go command. */
  readonly go: string;
  readonly signal?: AbortSignal;
}

/** Writes the module's go.mod, go.sum and main.go into `dir`, unless they are there. */
export async function writeModule(tool: GoTool, name: ModuleName, dir: string): Promise<void> {
  if (existsSync(join(dir, "go.sum"))) return;
  mkdirSync(dir, { recursive: true });
  copyFileSync(join(import.meta.dirname, name, "main.go"), join(dir, "main.go"));
  if (name === "hyperkube") await writeKubernetesModule(tool, dir);
  else writePlainModule(name, dir);
}

/** Kubernetes' own versions; its libraries, which lie beside it in its repository, from their published modules. */
async function writeKubernetesModule(tool: GoTool, dir: string): Promise<void> {
  const source = await moduleDir(tool, `k8s.io/kubernetes@v${versions.kubernetes}`);
  const own = readFileSync(join(source, "go.mod"), "utf8")
    .replace(/^module .*/m, "module hyperkube")
    .replace(/=> \.\/staging\/src\/(k8s\.io\/[a-z0-9-]+)/g, `=> $1 v${versions.libraries}`);
  writeFileSync(join(dir, "go.mod"), `${own}\nrequire k8s.io/kubernetes v${versions.kubernetes}\n`);
  writeFileSync(join(dir, "go.sum"), readFileSync(join(source, "go.sum")));
}

/** A module that needs these; go adds what they need in turn. */
function writePlainModule(name: keyof typeof requires, dir: string): void {
  const lines = Object.entries(requires[name]).map(([path, version]) => `\t${path} v${version}`);
  const text = `module ${name}\n\ngo ${versions.go}\n\nrequire (\n${lines.join("\n")}\n)\n`;
  writeFileSync(join(dir, "go.mod"), text);
  writeFileSync(join(dir, "go.sum"), "");
}

/** Where a module's source lies, downloaded when it is not there yet. */
export async function moduleDir(tool: GoTool, module: string): Promise<string> {
  const out = await command([tool.go, "mod", "download", "-json", module], {
    env: goEnv,
    timeoutMs: 600_000,
    cwd: "/",
    ...(tool.signal ? { signal: tool.signal } : {}),
  });
  return (JSON.parse(out) as { Dir: string }).Dir;
}
