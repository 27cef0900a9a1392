// SPDX-License-Identifier: Apache-2.0
// What is in the image, in one place: the script, the Dockerfile's test and the list of contents read it.
import { nodeFlags } from "#lib/assets.ts";

/** Where the image's Weft lies; `installRoot()` finds it from the bundles. */
export const installDir = "opt/weft";

export const repository = "weft.local/weft";

/** Debian packages: what the Node binary links with, who it is (scanners ask), and one static program as shell and tool box. */
export const packages = [
  "base-files",
  "gcc-12-base",
  "libc6",
  "libgcc-s1",
  "libstdc++6",
  "libatomic1",
  "busybox-static",
] as const;

/** Paths of those packages that no program of ours opens. Copyright files stay. */
export const unwanted: readonly RegExp[] = [
  /^usr\/share\/(?!doc\/|common-licenses\/)/,
  /^usr\/share\/doc\/[^/]+\/(?!copyright$)/,
  /^usr\/lib\/[^/]+\/gconv\//,
  /^etc\/(update-motd\.d|profile\.d|skel|issue|issue\.net|default)(\/|$)/,
  /^(boot|home|usr\/games|usr\/include|var\/(backups|local))(\/|$)/,
  /\/lib(BrokenLocale|memusage|pcprofile|c_malloc_debug|thread_db|nss_hesiod|nss_compat|nsl)\.so/,
];

/** The names busybox answers to: a shell for the wrappers, and what one needs to look around with `kubectl exec`. */
export const applets =
  "sh ash awk basename cat chmod chown cp cut date dd df dirname dmesg du echo env expr false find free grep head hostname id ifconfig ip kill ln ls md5sum mkdir mknod mktemp more mount mv nc netstat nproc nsenter nslookup pidof ping ping6 printf ps pwd readlink realpath rm rmdir route sed seq sha256sum sleep sort stat stty sync tail tar tee test time timeout top touch tr traceroute traceroute6 true tty umount uname uniq uptime vi wc wget which whoami xargs yes".split(
    " ",
  );

/** The commands of /usr/local/bin and the bundle each runs (`programs` of tools/bundle.ts). */
export const commands: Readonly<Record<string, string>> = {
  weft: "weft",
  "weft-agent": "agent",
  "weft-operator": "operator",
  "weft-relay": "relay",
};

/** Our own files, by pattern from the checkout, and what those patterns must not take: the lab and the maps of the bundles. */
export const ours = {
  include: [
    "LICENSE",
    "dist/**/*.mjs",
    "build/bpf/*.bpf.o",
    "build/native/{weft-cni,loopback,pod-tools}",
    "build/native/tools/*",
    "charts/weft/**",
  ],
  exclude: ["dist/lab-*", "build/bpf/{lab-world,layouts}.bpf.o", "charts/weft/golden/**"],
} as const;

/** What koffi needs at run time; its sources and documents stay outside. */
export const nativeModule = {
  include: [
    "koffi/{package.json,LICENSE.txt,index.cjs,index.js,indirect.cjs,indirect.js}",
    "koffi/src/koffi/**/*.{cjs,js}",
    "@koromix/koffi-linux-*/{package.json,index.js}",
    "@koromix/koffi-linux-*/linux_*/koffi.node",
  ],
} as const;

export const configFiles: Readonly<Record<string, string>> = {
  "etc/passwd":
    "root:x:0:0:root:/root:/bin/sh\nweft:x:65532:65532:weft:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n",
  "etc/group": "root:x:0:\nweft:x:65532:\nnogroup:x:65534:\n",
  "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
};

/** Directories that what the pods mount hangs on: a read-only root cannot make them when they are needed. */
export const mountPoints = [
  "etc/weft",
  "etc/cni/net.d",
  "hostproc",
  "opt/cni/bin",
  "run/netns",
  "run/weft",
  "sys",
  "tmp",
  "var/lib/weft",
];

export const environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
export const entrypoint = ["/usr/local/bin/weft"];

/** The image's labels, as https://github.com/opencontainers/image-spec/blob/main/annotations.md names them. */
export function labels(version: string): Record<string, string> {
  return {
    "org.opencontainers.image.title": "weft",
    "org.opencontainers.image.description":
      "The network of a Kubernetes cluster: agent, operator and command",
    "org.opencontainers.image.licenses": "Apache-2.0",
    "org.opencontainers.image.version": version,
  };
}

/** A command of the image. */
export function wrapper(bundle: string): string {
  return `#!/bin/sh
exec /usr/local/bin/node ${nodeFlags.join(" ")} /${installDir}/dist/${bundle}.mjs "$@"
`;
}
