// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { WeftError } from "#lib/errors.ts";
import { command, tryCommand } from "../cluster/command.ts";
import { versions } from "./recipe.ts";

/** Debian packages of a node and of its images; those of `tools/setup.sh` come before. */
const packages = [
  "bash",
  "bind9-dnsutils",
  "busybox-static",
  "ca-certificates",
  "containerd",
  "containernetworking-plugins",
  "curl",
  "dash",
  "etcd-server",
  "iproute2",
  "iptables",
  "netcat-openbsd",
  "nftables",
  "procps",
  "runc",
  "util-linux",
  "wget",
];

/**
 * Installs the Debian packages that are missing; their daemons are not started.
 * @throws WeftError E_PACKAGES
 */
export async function installPackages(): Promise<void> {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a format of dpkg-query
  const query = ["dpkg-query", "-W", "-f", "${Package} ${Status}\n", ...packages];
  const { stdout } = await tryCommand(query);
  const installed = new Set(stdout.split("\n").filter((line) => line.endsWith("ok installed")));
  const missing = packages.filter((name) => !installed.has(`${name} install ok installed`));
  if (missing.length === 0) return;
  const hint = `run as root: apt-get install --no-install-recommends ${missing.join(" ")}`;
  if (process.getuid?.() !== 0) {
    throw new WeftError("E_PACKAGES", `Debian packages are missing: ${missing.join(" ")}`, { hint });
  }
  console.log(`  installing Debian packages: ${missing.join(" ")}`);
  // RUNLEVEL=1 is how packages learn that services are not to be started now.
  const env = { DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  try {
    await command(["apt-get", "update", "-q"], { env, timeoutMs: 300_000 });
    const install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", ...missing];
    await command(install, { env, timeoutMs: 600_000 });
  } catch (cause) {
    throw new WeftError("E_PACKAGES", "Debian packages could not be installed", { hint, cause });
  }
}

/**
 * Path of a go command that can build the programs.
 * @throws WeftError E_GO when there is none
 */
export function findGo(): string {
  const candidates = ["go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go"];
  const seen: string[] = [];
  for (const go of candidates) {
    if (go.startsWith("/") && !existsSync(go)) continue;
    const { stdout } = spawnSync(go, ["env", "GOVERSION"], { encoding: "utf8", cwd: "/" });
    const version = /^go(\d+)\.(\d+)/.exec(stdout ?? "");
    if (!version) continue;
    const [, wantedMinor] = versions.go.split(".");
    // From 1.21 on, go fetches the version a module asks for by itself, unless it is told not to.
    const fetches = Number(version[2]) >= 21 && process.env["GOTOOLCHAIN"] !== "local";
    if (Number(version[1]) > 1 || Number(version[2]) >= Number(wantedMinor) || fetches) return go;
    seen.push(`${go} is ${stdout.trim()}`);
  }
  const what = seen.length > 0 ? `Go is too old (${seen.join(", ")})` : "Go is missing";
  throw new WeftError(
    "E_GO",
    `${what}: Kubernetes is built from source and needs Go ${versions.go} or newer`,
    {
      hint: "unpack a release of https://go.dev/dl into /usr/local/go, then run this again",
    },
  );
}
