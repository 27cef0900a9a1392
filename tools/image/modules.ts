// SPDX-License-Identifier: Apache-2.0
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** An npm module whose code is in the image. */
export interface NpmModule {
  readonly name: string;
  readonly version: string;
  /** An SPDX expression, as the module's package.json says. */
  readonly license: string;
  /** The text of its licence file; empty when it ships none. */
  readonly licenseText: string;
}

/** The modules in these folders of the checkout (`node_modules/zod`). */
export function npmModules(root: string, folders: readonly string[]): NpmModule[] {
  const modules = folders.map((folder) => {
    const about = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")) as {
      name: string;
      version: string;
      license?: string | { type: string };
    };
    const license = typeof about.license === "object" ? about.license.type : about.license;
    const file = globSync("{LICEN[CS]E,licen[cs]e}*", { cwd: join(root, folder) }).sort()[0];
    return {
      name: about.name,
      version: about.version,
      license: license ?? "NOASSERTION",
      licenseText: file ? readFileSync(join(root, folder, file), "utf8") : "",
    };
  });
  return modules.sort((a, b) => (`${a.name}@${a.version}` < `${b.name}@${b.version}` ? -1 : 1));
}

/** What most licences ask of who passes code on: their texts, one after the other. */
export function licenseTexts(modules: readonly NpmModule[]): string {
  return modules
    .map(
      ({ name, version, license, licenseText }) =>
        `${name} ${version} (${license})\n\n${licenseText.trim()}\n`,
    )
    .join(`\n${"-".repeat(80)}\n\n`);
}
