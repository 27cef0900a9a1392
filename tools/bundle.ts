// SPDX-License-Identifier: Apache-2.0
// Bundles each program into dist/NAME.mjs. koffi stays outside: it is a native addon.
import { renameSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { build, type Plugin } from "esbuild";

const programs: Record<string, string> = {
  weft: "src/main/weft.ts",
  agent: "src/main/agent.ts",
  relay: "src/main/relay.ts",
  probe: "src/main/probe.ts",
  operator: "src/main/operator.ts",
  "lab-node": "src/main/lab-node.ts",
  "lab-supervisor": "src/main/lab-supervisor.ts",
  "flows-worker": "src/flows/worker.ts",
};

// Beside the old bundles first: a build that fails leaves them as they are.
const outdir = "dist.new";
rmSync(outdir, { recursive: true, force: true });

/**
 * `import "node:http"` reads every export once, WebSocket among them, and so loads Node's whole fetch client: 2 MB for each thread of
 * each agent. Taken by name, only what is named is loaded.
 */
const httpWithoutFetch: Plugin = {
  name: "http-without-fetch",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:)?http$/ }, ({ kind }) =>
      kind === "import-statement" ? { path: "http", namespace: "by-name" } : undefined,
    );
    const names = Object.keys(http).filter((name) => !/^(WebSocket|CloseEvent|MessageEvent|_.*)$/.test(name));
    onLoad({ filter: /./, namespace: "by-name" }, () => ({
      contents: `const http = process.getBuiltinModule("node:http");\nexport const { ${names.join(", ")} } = http;\nexport default http;`,
      loader: "js",
    }));
  },
};

const { metafile } = await build({
  entryPoints: programs,
  outdir,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  target: "node24",
  format: "esm",
  external: ["koffi"],
  plugins: [httpWithoutFetch],
  // What is imported only when needed (credential plug-ins) stays out of the programs, in chunks of its own.
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
  sourcemap: "linked",
  // Each thread keeps the text of what it runs: without comments (one letter past Latin-1 doubles it) and indentation, in lines still short
  // enough to be found by an error's line number.
  minifyWhitespace: true,
  lineLimit: 120,
  metafile: true,
  legalComments: "none",
  logLevel: "warning",
  // CommonJS dependencies of the Kubernetes client still ask for require().
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
});
// Which npm modules the bundles hold: the image's list of contents names them, with their licences.
const modules = new Set<string>();
for (const input of Object.keys(metafile.inputs)) {
  const folder = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
  if (folder) modules.add(folder);
}
writeFileSync(`${outdir}/modules.json`, `${JSON.stringify([...modules].sort(), undefined, 2)}\n`);
rmSync("dist", { recursive: true, force: true });
renameSync(outdir, "dist");
