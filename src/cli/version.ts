// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { installRoot } from "#lib/assets.ts";

/** The version of this installation. */
export function installedVersion(): string {
  return (JSON.parse(readFileSync(join(installRoot(), "package.json"), "utf8")) as { version: string })
    .version;
}
