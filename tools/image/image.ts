// SPDX-License-Identifier: Apache-2.0
// npm run image: the container image, as an OCI archive. `--out FILE` where to; `--rootfs DIR` writes the layers as folders instead
// (the Dockerfile copies them); `--no-cache` compresses every layer anew.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { errorText, WeftError } from "#lib/errors.ts";
import { writeImage } from "./oci.ts";
import { writeTree } from "./tree.ts";
import { weftImage } from "./weft-image.ts";

const root = join(import.meta.dirname, "../..");
const { values } = parseArgs({
  options: {
    out: { type: "string" },
    rootfs: { type: "string" },
    "no-cache": { type: "boolean", default: false },
  },
});

try {
  const { spec, version, sbom } = weftImage(root, join(root, "build/image/cache"));
  if (values.rootfs !== undefined) {
    for (const { name, tree } of spec.layers) writeTree(tree, join(values.rootfs, name));
  } else {
    const out = values.out ?? join(root, `build/image/weft-${version}.tar`);
    const cacheDir = values["no-cache"] ? {} : { cacheDir: join(root, "build/image/cache/layers") };
    const { digest, archiveBytes, rootBytes } = writeImage(spec, { out, ...cacheDir });
    writeFileSync(out.replace(/(\.tar)?$/, ".sbom.json"), sbom);
    const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
    console.log(
      `${out}\n  ${spec.name} ${digest}\n  ${mb(archiveBytes)} compressed, ${mb(rootBytes)} unpacked`,
    );
  }
} catch (error) {
  console.error(`image: ${errorText(error)}`);
  if (error instanceof WeftError && error.hint) console.error(`  ${error.hint}`);
  process.exitCode = 1;
}
