// SPDX-License-Identifier: Apache-2.0
/** The images a cluster and the upstream tests need, made of what was built and of programs of this machine. */
import { mkdirSync, readFileSync, realpathSync } from "node:fs";
import { basename, join } from "node:path";
import { WeftError } from "#lib/errors.ts";
import { type ImageSpec, writeImage } from "../../../tools/image/oci.ts";
import { addFile, addLink, type Tree } from "../../../tools/image/tree.ts";
import { command, tryCommand } from "../cluster/command.ts";
import { IMAGE_PREFIX } from "../cluster/shape.ts";
import { type GoTool, moduleDir } from "./modules.ts";
import { versions } from "./recipe.ts";

/** Tags as the tests of this Kubernetes version have them compiled in. */
const tags = {
  pause: "3.10.1",
  agnhost: "2.59",
  busybox: "1.37.0-1",
  dnsutils: "1.7",
  regression: "1.4",
} as const;

export const agnhostImage = `${IMAGE_PREFIX}/agnhost:${tags.agnhost}`;

/** Writes an archive per image into `dir`. `bin` has agnhost and coredns; clang-19 makes pause. */
export async function writeImages(tool: GoTool, bin: string, dir: string): Promise<string[]> {
  mkdirSync(dir, { recursive: true });
  const specs = {
    pause: await pause(dir),
    busybox: await busybox(),
    agnhost: await agnhost(tool, bin),
    coredns: programAlone("coredns:local", join(bin, "coredns")),
    regression: programAlone(
      `regression-issue-74839:${tags.regression}`,
      join(bin, "regression-issue-74839"),
    ),
  };
  return Object.entries(specs).map(([name, spec]) => {
    const out = join(dir, `${name}.tar`);
    writeImage(spec, { out });
    return out;
  });
}

function image(name: string, tree: Tree, entrypoint: string[], more: Partial<ImageSpec> = {}): ImageSpec {
  return {
    name: `${IMAGE_PREFIX}/${name}`,
    layers: [{ name: "root", title: name, tree }],
    entrypoint,
    ...more,
  };
}

async function pause(dir: string): Promise<ImageSpec> {
  const program = join(dir, "pause");
  const source = join(import.meta.dirname, "pause.c");
  await command(["clang-19", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-s", "-o", program, source]);
  const tree: Tree = new Map();
  addProgram(tree, "pause", program);
  return image(`pause:${tags.pause}`, tree, ["/pause"], { user: "65535:65535" });
}

async function busybox(): Promise<ImageSpec> {
  return image(`busybox:${tags.busybox}`, await base(), [], { command: ["sh"] });
}

function programAlone(name: string, program: string): ImageSpec {
  const tree: Tree = new Map();
  addProgram(tree, basename(program), program);
  return image(name, tree, [`/${basename(program)}`]);
}

/** What the tests run in this image beside agnhost itself. */
const tools = ["curl", "dig", "nslookup", "ip", "nc.openbsd", "dash", "bash", "getent", "wget"];

async function agnhost(tool: GoTool, bin: string): Promise<ImageSpec> {
  const tree = await base();
  addProgram(tree, "agnhost", join(bin, "agnhost"));
  addLink(tree, "pause", "/agnhost");
  // The tests have a DNS server of their own in this image.
  addProgram(tree, "coredns", join(bin, "coredns"));
  // Debian's busybox prefers its own applets to the programs in PATH: no shell of it may be left, and no applet beside a program of its name.
  // Its wget crashes where it finds the libraries of another program.
  for (const name of ["nc", "ip", "nslookup", "sh", "ash", "wget"]) tree.delete(`bin/${name}`);
  for (const name of tools) await addDynamic(tree, name);
  addLink(tree, "bin/sh", "../usr/bin/dash");
  addLink(tree, "bin/bash", "../usr/bin/bash");
  addLink(tree, "usr/bin/nc", "nc.openbsd");
  // As busybox's: one try.
  addFile(tree, "etc/wgetrc", "tries = 1\n");
  tree.set("uploads", { type: "dir", mode: 0o755 });
  const porter = join(
    await moduleDir(tool, `k8s.io/kubernetes@v${versions.kubernetes}`),
    "test/images/agnhost/porter",
  );
  for (const name of ["localhost.crt", "localhost.key"])
    addFile(tree, name, readFileSync(join(porter, name)));
  return image(`agnhost:${tags.agnhost}`, tree, ["/agnhost"], {
    command: ["pause"],
    alsoNamed: [`${IMAGE_PREFIX}/jessie-dnsutils:${tags.dnsutils}`],
  });
}

/** A root file system with busybox as every tool it can be. */
async function base(): Promise<Tree> {
  const tree: Tree = new Map();
  addProgram(tree, "bin/busybox", "/bin/busybox");
  const applets = (await command(["/bin/busybox", "--list"])).trim().split("\n");
  for (const name of applets) if (name !== "busybox") addLink(tree, `bin/${name}`, "busybox");
  addFile(tree, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n");
  addFile(tree, "etc/group", "root:x:0:\nnogroup:x:65534:\n");
  tree.set("tmp", { type: "dir", mode: 0o1777 });
  for (const name of ["proc", "sys", "dev", "root", "run", "var"])
    tree.set(name, { type: "dir", mode: 0o755 });
  return tree;
}

function addProgram(tree: Tree, path: string, file: string): void {
  addFile(tree, path, readFileSync(file), 0o755);
}

/** A program of this machine with the libraries it links. @throws WeftError E_IMAGE when the machine lacks it */
async function addDynamic(tree: Tree, name: string): Promise<void> {
  const { stdout } = await tryCommand(["sh", "-c", 'command -v "$0"', name]);
  const path = stdout.trim();
  if (path === "") throw new WeftError("E_IMAGE", `this machine has no ${name} for the test image`);
  addProgram(tree, `usr/bin/${name}`, realpathSync(path));
  const libraries = await command(["ldd", path]);
  for (const [library] of libraries.matchAll(/\/\S+/g)) {
    const inTree = library.slice(1);
    if (!tree.has(inTree)) addProgram(tree, inTree, realpathSync(library));
  }
}
