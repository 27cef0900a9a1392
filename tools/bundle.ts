// SPDX-License-Identifier: Apache-2.0
// Bundles each program into dist/NAME.mjs. koffi stays outside: it is a native addon.
import { renameSync, rmSync } from "node:fs";
import { build } from "esbuild";

const programs: Record<string, string> = {
  weft: "src/main/weft.ts",
  agent: "src/main/agent.ts",
  "lab-node": "src/main/lab-node.ts",
  "lab-supervisor": "src/main/lab-supervisor.ts",
  "flows-worker": "src/flows/worker.ts",
};

// Beside the old bundles first: a build that fails leaves them as they are.
const outdir = "dist.new";
rmSync(outdir, { recursive: true, force: true });
await build({
  entryPoints: programs,
  outdir,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  target: "node24",
  format: "esm",
  external: ["koffi"],
  // What is imported only when needed (credential plug-ins) stays out of the programs, in chunks of its own.
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
  sourcemap: "linked",
  legalComments: "none",
  logLevel: "warning",
  // CommonJS dependencies of the Kubernetes client still ask for require().
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
});
rmSync("dist", { recursive: true, force: true });
renameSync(outdir, "dist");
