// SPDX-License-Identifier: Apache-2.0
/** Writes api/gen from api/proto with buf and protoc-gen-es, both from node_modules: no network. Part of `npm run gen`. */
import { execFileSync } from "node:child_process";
import { globSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

const root = dirname(import.meta.dirname);
const bin = join(root, "node_modules", ".bin");
const template = {
  version: "v2",
  plugins: [
    {
      local: join(bin, "protoc-gen-es"),
      out: "api/gen",
      opt: ["target=ts", "import_extension=ts", "erasable_syntax=true"],
    },
  ],
};

for (const area of ["flow", "health", "observer", "peer", "relay"]) {
  rmSync(join(root, "api", "gen", area), { recursive: true, force: true });
}
// The platform's own package: the umbrella package of buf lists platforms that not every registry carries.
const [buf] = globSync(join(root, "node_modules/@bufbuild/buf-linux-*/bin/buf"));
if (buf === undefined) throw new Error("buf is not installed for this platform: run `npm run setup`");

execFileSync(buf, ["generate", "api/proto", "--template", JSON.stringify(template)], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, PATH: `${join(root, "node_modules", "node", "bin")}:${process.env["PATH"] ?? ""}` },
});
