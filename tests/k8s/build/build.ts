// SPDX-License-Identifier: Apache-2.0
/** Builds Kubernetes, its tests and the images from source, once per version and recipe. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { processStartTicks } from "#lab/record.ts";
import { command } from "../cluster/command.ts";
import { cacheDir } from "../cluster/shape.ts";
import type { Artifacts } from "./artifacts.ts";
import { writeImages } from "./images.ts";
import { type GoTool, writeModule } from "./modules.ts";
import { findGo, installPackages } from "./packages.ts";
import {
  goEnv,
  hyperkubeNames,
  imagePrograms,
  imagesKey,
  linkerFlags,
  type Program,
  programs,
  programsKey,
} from "./recipe.ts";
import { writeSeed } from "./seed.ts";

const BUILD_TIMEOUT_MS = 45 * 60_000;

/** What the build makes, built as far as it is not in the cache. Says what it does. @throws WeftError */
export async function buildArtifacts(): Promise<Artifacts> {
  await installPackages();
  const artifacts = plan();
  if (isWhole(artifacts)) return artifacts;
  mkdirSync(artifacts.bin, { recursive: true });
  const release = await lock(join(artifacts.dir, "lock"));
  try {
    const tool: GoTool = { go: findGo() };
    for (const program of programs) await buildProgram(tool, program, artifacts);
    for (const name of hyperkubeNames) {
      if (!existsSync(join(artifacts.bin, name))) symlinkSync("hyperkube", join(artifacts.bin, name));
    }
    if (!existsSync(artifacts.seed)) {
      await step("images", async () => {
        for (const program of imagePrograms) await buildProgram(tool, program, artifacts);
        const dir = join(artifacts.dir, "images");
        const archives = await writeImages(tool, artifacts.bin, dir);
        await writeSeed(archives, artifacts.seed);
        rmSync(dir, { recursive: true });
      });
    }
  } finally {
    release();
  }
  return artifacts;
}

function plan(): Artifacts {
  const key = programsKey();
  const dir = join(cacheDir(), "kubernetes", key);
  return { key, dir, bin: join(dir, "bin"), seed: join(dir, `seed-${imagesKey()}`) };
}

const isWhole = (artifacts: Artifacts) =>
  existsSync(artifacts.seed) &&
  [...programs.map(({ name }) => name), ...hyperkubeNames].every((name) =>
    existsSync(join(artifacts.bin, name)),
  );

async function buildProgram(tool: GoTool, program: Program, artifacts: Artifacts): Promise<void> {
  const out = join(artifacts.bin, program.name);
  if (existsSync(out)) return;
  const source = join(artifacts.dir, "modules", program.module);
  const verb = program.test ? ["test", "-c", "-vet=off"] : ["build"];
  await step(program.name, async () => {
    await writeModule(tool, program.module, source);
    const argv = [
      tool.go,
      ...verb,
      "-ldflags",
      linkerFlags(program),
      "-o",
      `${out}.new`,
      program.packagePath,
    ];
    // Nice: whoever builds in the background goes on working.
    await command(["nice", ...argv], { cwd: source, env: goEnv, timeoutMs: BUILD_TIMEOUT_MS });
    renameSync(`${out}.new`, out);
  });
}

async function step(name: string, work: () => Promise<void>): Promise<void> {
  const startMs = performance.now();
  console.log(`  building ${name}${name === "hyperkube" ? " (the first time takes about ten minutes)" : ""}`);
  await work();
  console.log(`  ✓ ${name} ${((performance.now() - startMs) / 1000).toFixed(0)} s`);
}

/** Waits while another live process builds; the lock of a dead one is taken over. */
async function lock(path: string): Promise<() => void> {
  for (let told = false; ; ) {
    try {
      writeFileSync(path, `${process.pid} ${processStartTicks(process.pid)}`, { flag: "wx" });
      return () => rmSync(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const [pid, ticks] = existsSync(path) ? readFileSync(path, "utf8").split(" ").map(Number) : [];
    if (pid !== undefined && processStartTicks(pid) !== ticks) rmSync(path, { force: true });
    else if (!told) {
      told = true;
      console.log(`  another process (${pid}) builds; waiting for it`);
    }
    await delay(500);
  }
}
