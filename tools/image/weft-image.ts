// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WeftError } from "#lib/errors.ts";
import {
  applets,
  commands,
  configFiles,
  entrypoint,
  environment,
  installDir,
  labels,
  mountPoints,
  nativeModule,
  ours,
  packages,
  repository,
  unwanted,
  wrapper,
} from "./contents.ts";
import { type DebianPackage, debianPackages } from "./debian.ts";
import { licenseTexts, npmModules } from "./modules.ts";
import { type ImageLayer, type ImageSpec, sha256 } from "./oci.ts";
import { sbom } from "./sbom.ts";
import { addFile, addLink, addMatching, type Tree } from "./tree.ts";

export interface WeftImage {
  readonly spec: ImageSpec;
  readonly version: string;
  /** The list of contents, CycloneDX JSON; also in the image. */
  readonly sbom: string;
}

/** The image of a built checkout, in memory. `cacheDir` keeps Debian packages. @throws WeftError E_IMAGE */
export function weftImage(root: string, cacheDir: string): WeftImage {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const debian = debianPackages(packages, join(cacheDir, "debian"));
  const bundled = JSON.parse(readFileSync(join(root, "dist/modules.json"), "utf8")) as string[];
  const npm = npmModules(root, [...bundled, "node_modules/koffi"]);
  const nodeBinary = readFileSync(process.execPath);
  const weft = weftTree(root, version);
  addFile(weft, `${installDir}/THIRD-PARTY-LICENSES`, licenseTexts(npm));
  const node = { version: process.versions.node, sha256: sha256(nodeBinary) };
  const list = sbom({ version, debian, npm, node, files: weft });
  addFile(weft, `${installDir}/sbom.json`, list);
  const layers: ImageLayer[] = [
    { name: "base", title: `Debian: ${packages.join(" ")}`, tree: debianTree(debian) },
    { name: "runtime", title: `Node ${process.versions.node} and koffi`, tree: runtimeTree(root) },
    { name: "weft", title: `Weft ${version}`, tree: weft },
  ];
  const spec = { name: `${repository}:${version}`, layers, entrypoint, environment, labels: labels(version) };
  return { spec, version, sbom: list };
}

function debianTree(debian: readonly DebianPackage[]): Tree {
  const tree: Tree = new Map();
  for (const { files } of debian) {
    for (const [path, entry] of files)
      if (!unwanted.some((pattern) => pattern.test(path))) tree.set(path, entry);
  }
  for (const name of applets) addLink(tree, `bin/${name}`, "busybox");
  for (const [path, text] of Object.entries(configFiles)) addFile(tree, path, text);
  for (const path of mountPoints) if (!tree.has(path)) tree.set(path, { type: "dir", mode: 0o755 });
  // Scanners look here for what is installed.
  const stanzas = debian.map(({ control }) =>
    control.replace(/^(Package: .*)$/m, "$1\nStatus: install ok installed"),
  );
  addFile(tree, "var/lib/dpkg/status", `${stanzas.map((stanza) => stanza.trim()).join("\n\n")}\n`);
  return tree;
}

function runtimeTree(root: string): Tree {
  const tree: Tree = new Map();
  addFile(tree, "usr/local/bin/node", strippedNode(), 0o755);
  addMatching(tree, nativeModule.include, {
    from: join(root, "node_modules"),
    to: `${installDir}/node_modules`,
  });
  return tree;
}

/** Without symbols for a debugger Node is 33 MB smaller; what addons link with is kept in its dynamic symbols. */
function strippedNode(): Buffer {
  const dir = mkdtempSync(join(tmpdir(), "weft-image-"));
  try {
    const out = join(dir, "node");
    execFileSync("strip", ["-o", out, process.execPath]);
    return readFileSync(out);
  } catch (cause) {
    throw new WeftError("E_IMAGE", "strip failed on the Node binary", {
      cause,
      hint: "apt-get install binutils",
    });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function weftTree(root: string, version: string): Tree {
  const tree: Tree = new Map();
  addMatching(tree, ours.include, { from: root, to: installDir, exclude: ours.exclude });
  for (const bundle of Object.values(commands)) {
    if (tree.has(`${installDir}/dist/${bundle}.mjs`)) continue;
    throw new WeftError("E_IMAGE", `dist/${bundle}.mjs is missing`, { hint: "run `npm run build`" });
  }
  // What the programs read of it; the rest speaks of development.
  const about = { name: "weft", version, license: "Apache-2.0", private: true, type: "module" };
  addFile(tree, `${installDir}/package.json`, `${JSON.stringify(about, undefined, 2)}\n`);
  for (const [name, bundle] of Object.entries(commands))
    addFile(tree, `usr/local/bin/${name}`, wrapper(bundle), 0o755);
  return tree;
}
