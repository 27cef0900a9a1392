// SPDX-License-Identifier: Apache-2.0
/** What is built from Go modules, and how. Its hash names the directory in the cache: what changes here is built anew. */
import { createHash } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { KUBERNETES_VERSION } from "../cluster/shape.ts";

export const versions = {
  kubernetes: KUBERNETES_VERSION,
  /** Of the libraries that come with that Kubernetes. */
  libraries: `0.${KUBERNETES_VERSION.slice(2)}`,
  coredns: "1.13.1",
  /** The newest Helm that is made with the same minor version of the libraries, so most is compiled once. */
  helm: "3.20.2",
  /** Oldest Go that can build all of it: what the modules say. */
  go: "1.25.0",
} as const;

const libraries = (...names: string[]) =>
  Object.fromEntries(names.map((name) => [`k8s.io/${name}`, versions.libraries]));

/** What the modules need beside Kubernetes' own, which takes its versions from Kubernetes. */
export const requires = {
  coredns: {
    "github.com/coredns/coredns": versions.coredns,
    ...libraries("api", "apimachinery", "client-go"),
  },
  helm: {
    "helm.sh/helm/v3": versions.helm,
    ...libraries("api", "apiextensions-apiserver", "apimachinery", "apiserver"),
    ...libraries("cli-runtime", "client-go", "kubectl"),
  },
} as const;

/** A folder here with a main.go. */
export type ModuleName = "hyperkube" | keyof typeof requires;

export interface Program {
  readonly name: string;
  readonly module: ModuleName;
  readonly packagePath: string;
  /** A test binary: `go test -c`. */
  readonly test?: boolean;
  /** Carries the Kubernetes version. */
  readonly stamped?: boolean;
}

/** In this order: each finds most of what it needs compiled by the ones before. */
export const programs: readonly Program[] = [
  { name: "hyperkube", module: "hyperkube", packagePath: ".", stamped: true },
  {
    name: "agnhost",
    module: "hyperkube",
    packagePath: "k8s.io/kubernetes/test/images/agnhost",
    stamped: true,
  },
  {
    name: "e2e.test",
    module: "hyperkube",
    packagePath: "k8s.io/kubernetes/test/e2e",
    test: true,
    stamped: true,
  },
  { name: "ginkgo", module: "hyperkube", packagePath: "github.com/onsi/ginkgo/v2/ginkgo" },
  { name: "coredns", module: "coredns", packagePath: "." },
  { name: "helm", module: "helm", packagePath: "helm.sh/helm/v3/cmd/helm" },
];

/** What is built for images alone, beside agnhost and coredns. */
export const imagePrograms: readonly Program[] = [
  {
    name: "regression-issue-74839",
    module: "hyperkube",
    packagePath: "k8s.io/kubernetes/test/images/regression-issue-74839",
  },
];

/** Names hyperkube answers to. */
export const hyperkubeNames = [
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kube-proxy",
  "kubelet",
  "kubectl",
] as const;

export const goEnv = {
  CGO_ENABLED: "0",
  GOFLAGS: "-mod=mod -trimpath -buildvcs=false",
} as const;

/** Linker flags: without symbols, and for Kubernetes its version, which clients and servers compare. */
export function linkerFlags(program: Program): string {
  if (!program.stamped) return "-s -w";
  const [major, minor] = versions.kubernetes.split(".");
  const values = {
    gitMajor: major,
    gitMinor: minor,
    gitVersion: `v${versions.kubernetes}`,
    gitCommit: "local",
    gitTreeState: "clean",
    buildDate: "2026-01-01T00:00:00Z",
  };
  const packages = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];
  const stamps = packages.flatMap((path) =>
    Object.entries(values).map(([name, value]) => `-X ${path}.${name}=${value}`),
  );
  return ["-s", "-w", ...stamps].join(" ");
}

/** Version and hash of everything that decides what the programs are. */
export function programsKey(): string {
  const flags = programs.map(linkerFlags);
  const what = JSON.stringify({ versions, requires, programs, flags, goEnv });
  return `v${versions.kubernetes}-${hashFiles(["*/main.go"], what)}`;
}

/** Hash of everything that decides what the images are, the programs aside. */
export function imagesKey(): string {
  return hashFiles(["images.ts", "pause.c"], JSON.stringify(imagePrograms));
}

function hashFiles(patterns: string[], more: string): string {
  const hash = createHash("sha256").update(`${process.arch} ${more}`);
  for (const file of globSync(patterns, { cwd: import.meta.dirname }).sort()) {
    hash.update(file).update(readFileSync(join(import.meta.dirname, file)));
  }
  return hash.digest("hex").slice(0, 12);
}
