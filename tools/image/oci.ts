// SPDX-License-Identifier: Apache-2.0
// An OCI image layout in a tar archive, which `ctr images import`, `podman load` and `docker load` read.
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { writeTar } from "./tar.ts";
import { addFile, type Tree } from "./tree.ts";

export interface ImageLayer {
  /** Its folder when the layers are written as folders. */
  readonly name: string;
  /** What the layer is, shown by `docker history`. */
  readonly title: string;
  readonly tree: Tree;
}

export interface ImageSpec {
  /** The full name, with its tag: `weft.local/weft:0.1.0`. */
  readonly name: string;
  /** Further names of the same image. */
  readonly alsoNamed?: readonly string[];
  /** From what changes seldom to what changes often. */
  readonly layers: readonly ImageLayer[];
  readonly entrypoint: readonly string[];
  /** Arguments when a pod gives none. */
  readonly command?: readonly string[];
  readonly environment?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  /** `UID:GID`; root when left out. */
  readonly user?: string;
  readonly workingDir?: string;
}

export interface ImageResult {
  readonly name: string;
  /** Of the manifest: what `imageID` and `name@sha256:...` mean. */
  readonly digest: string;
  /** Bytes of the archive, and of the root file system it unpacks to. */
  readonly archiveBytes: number;
  readonly rootBytes: number;
}

export interface WriteOptions {
  readonly out: string;
  /** Where compressed layers are kept, by the digest of their content; none when left out. */
  readonly cacheDir?: string;
}

const media = (kind: string) => `application/vnd.oci.image.${kind}`;
const architectures: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
/** The time of everything in an image: https://reproducible-builds.org/specs/source-date-epoch/ */
const epochSeconds = Number(process.env["SOURCE_DATE_EPOCH"] ?? 0);

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

interface WrittenLayer extends Descriptor {
  readonly title: string;
  /** Digest and size before compression. */
  readonly diff: string;
  readonly bytes: number;
}

const platform = { architecture: architectures[process.arch] ?? process.arch, os: "linux" };

/** Writes the image. The same specification gives the same bytes, whenever and wherever it is built. */
export function writeImage(spec: ImageSpec, { out, cacheDir }: WriteOptions): ImageResult {
  const archive: Tree = new Map();
  const layers = spec.layers.map(({ title, tree }): WrittenLayer => {
    const tar = writeTar(tree, epochSeconds);
    const diff = sha256(tar);
    const blob = addBlob(archive, "layer.v1.tar+gzip", compressed(tar, diff, cacheDir));
    return { ...blob, title, diff, bytes: tar.length };
  });
  const config = addBlob(archive, "config.v1+json", json(imageConfig(spec, layers)));
  const descriptors = layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size }));
  const mediaType = media("manifest.v1+json");
  const manifest = addBlob(
    archive,
    "manifest.v1+json",
    json({ schemaVersion: 2, mediaType, config, layers: descriptors }),
  );
  const names = [spec.name, ...(spec.alsoNamed ?? [])];
  const manifests = names.map((name) => ({ ...manifest, platform, annotations: nameAnnotations(name) }));
  addFile(archive, "oci-layout", json({ imageLayoutVersion: "1.0.0" }));
  addFile(archive, "index.json", json({ schemaVersion: 2, mediaType: media("index.v1+json"), manifests }));
  // The older format beside it, of the same blobs: what docker load knows.
  const docker = { Config: blobPath(config), RepoTags: names, Layers: layers.map(blobPath) };
  addFile(archive, "manifest.json", json([docker]));
  const bytes = writeTar(archive, epochSeconds);
  writeWhole(out, bytes);
  return {
    name: spec.name,
    digest: manifest.digest,
    archiveBytes: bytes.length,
    rootBytes: layers.reduce((sum, layer) => sum + layer.bytes, 0),
  };
}

function addBlob(archive: Tree, kind: string, data: Buffer): Descriptor {
  const descriptor = { mediaType: media(kind), digest: `sha256:${sha256(data)}`, size: data.length };
  addFile(archive, blobPath(descriptor), data);
  return descriptor;
}

/** Where a blob lies in the archive. */
export function blobPath({ digest }: { readonly digest: string }): string {
  return `blobs/${digest.replace(":", "/")}`;
}

function nameAnnotations(name: string): Record<string, string> {
  return {
    "io.containerd.image.name": name,
    "org.opencontainers.image.ref.name": name.slice(name.lastIndexOf(":") + 1),
  };
}

function imageConfig(spec: ImageSpec, layers: readonly WrittenLayer[]): Record<string, unknown> {
  const created = new Date(epochSeconds * 1000).toISOString();
  const config = {
    User: spec.user ?? "0:0",
    Env: spec.environment ?? ["PATH=/usr/local/bin:/usr/bin:/bin"],
    Entrypoint: spec.entrypoint,
    ...(spec.command && { Cmd: spec.command }),
    WorkingDir: spec.workingDir ?? "/",
    Labels: spec.labels ?? {},
  };
  return {
    ...platform,
    created,
    config,
    rootfs: { type: "layers", diff_ids: layers.map(({ diff }) => `sha256:${diff}`) },
    history: layers.map(({ title }) => ({ created, created_by: title })),
  };
}

function compressed(tar: Buffer, diff: string, cacheDir: string | undefined): Buffer {
  const kept = cacheDir && join(cacheDir, `${diff}.tar.gz`);
  if (kept && existsSync(kept)) return readFileSync(kept);
  const data = gzipSync(tar, { level: 6 });
  if (kept) writeWhole(kept, data);
  return data;
}

/** Aside first, then moved: a reader never sees half a file. */
function writeWhole(path: string, data: Buffer): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.${process.pid}`, data);
  renameSync(`${path}.${process.pid}`, path);
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

export function sha256(data: Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}
