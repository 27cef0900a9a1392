// SPDX-License-Identifier: Apache-2.0
/** Every command that README and docs show for a real cluster (blocks marked `sh cluster`), in the order a reader would go through them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { administratorOk, asAdministrator } from "../cluster/administrator.ts";
import { deployDns, dnsReady } from "../cluster/coredns.ts";
import { weftCluster } from "../cluster/weft.ts";

const root = join(import.meta.dirname, "../../..");
const pages = [
  "README.md",
  "docs/install.md",
  "docs/operate.md",
  "docs/upgrade.md",
  "docs/troubleshooting.md",
  "docs/prefilter.md",
  "docs/uninstall.md",
];
const cluster = await weftCluster();

function commandsOf(page: string): string[] {
  const blocks = readFileSync(join(root, page), "utf8").matchAll(/^```sh cluster\n([\s\S]*?)^```$/gm);
  return [...blocks].flatMap(([, body]) => body!.split("\n").filter((line) => line.trim() !== ""));
}

suite("commands of the docs", () => {
  after(async () => {
    await administratorOk(cluster, ["weft", "install", "--wait", "--timeout", "120"]);
    await cluster.kubectl(["delete", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns", "--wait=false"]);
    await deployDns(cluster);
    await dnsReady(cluster);
    await cluster[Symbol.asyncDispose]();
  });

  for (const page of pages)
    for (const command of commandsOf(page))
      test(`${page}: ${command}`, async () => {
        const { code, stdout, stderr } = await asAdministrator(cluster, ["sh", "-c", command]);
        assert.equal(code, 0, `exit ${code}\n${stdout}\n${stderr}`);
      });
});
