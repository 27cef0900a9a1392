// SPDX-License-Identifier: Apache-2.0
import type { DebianPackage } from "./debian.ts";
import type { NpmModule } from "./modules.ts";
import { sha256 } from "./oci.ts";
import type { Tree } from "./tree.ts";

export interface Contents {
  readonly version: string;
  readonly debian: readonly DebianPackage[];
  readonly npm: readonly NpmModule[];
  /** The Node runtime, as it was before stripping. */
  readonly node: { readonly version: string; readonly sha256: string };
  /** Our own files; of the rest the packages say what they hold. */
  readonly files: Tree;
}

/**
 * The list of contents (software bill of materials) as CycloneDX JSON: https://cyclonedx.org/docs/1.5/json/. It names no time and its
 * serial number is derived from what it lists, so that the same contents give the same bytes.
 */
export function sbom({ version, debian, npm, node, files }: Contents): string {
  const components = [
    ...debian.map((one) => ({
      type: "library",
      "bom-ref": `deb:${one.name}`,
      name: one.name,
      version: one.version,
      purl: `pkg:deb/debian/${encodeURIComponent(one.name)}@${encodeURIComponent(one.version)}?arch=${one.architecture}&distro=debian-12`,
      hashes: sha(one.sha256),
      properties: [{ name: "weft:copyright", value: `/usr/share/doc/${one.name}/copyright` }],
    })),
    {
      type: "platform",
      "bom-ref": "node",
      name: "node",
      version: node.version,
      purl: `pkg:generic/node@${node.version}`,
      licenses: [{ license: { id: "MIT" } }],
      hashes: sha(node.sha256),
    },
    ...npm.map((one) => ({
      type: "library",
      "bom-ref": `npm:${one.name}@${one.version}`,
      name: one.name,
      version: one.version,
      purl: `pkg:npm/${one.name.replace("@", "%40")}@${one.version}`,
      licenses: [
        / (OR|AND|WITH) /.test(one.license) ? { expression: one.license } : { license: { id: one.license } },
      ],
    })),
    ...fileComponents(files),
  ];
  const digest = sha256(Buffer.from(JSON.stringify(components)));
  const document = {
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    serialNumber: `urn:uuid:${uuid(digest)}`,
    version: 1,
    metadata: {
      component: {
        type: "container",
        "bom-ref": "weft",
        name: "weft",
        version,
        licenses: [{ license: { id: "Apache-2.0" } }],
      },
    },
    components,
  };
  return `${JSON.stringify(document, undefined, 1)}\n`;
}

function fileComponents(files: Tree): unknown[] {
  return [...files]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([path, entry]) =>
      entry.type === "file"
        ? [{ type: "file", "bom-ref": `file:/${path}`, name: `/${path}`, hashes: sha(sha256(entry.data)) }]
        : [],
    );
}

function sha(content: string): { alg: string; content: string }[] {
  return [{ alg: "SHA-256", content }];
}

/** A version 8 UUID (RFC 9562: of one's own making) of a digest. */
function uuid(hex: string): string {
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}
