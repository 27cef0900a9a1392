// SPDX-License-Identifier: Apache-2.0
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { Command } from "commander";
import { renderCluster } from "#cli/print/cluster.ts";
import { type ClusterChoice, clusterClient, withKubeconfig } from "#cli/target.ts";
import { installedVersion } from "#cli/version.ts";
import { WeftError } from "#lib/errors.ts";
import { takeSnapshot } from "#live/collect.ts";
import { notInstalled, weftPods } from "#live/components.ts";
import { clusterReport } from "#live/judge.ts";
import { type Group, writeDump } from "#live/sysdump/collect.ts";
import { dumpGroups } from "#live/sysdump/items.ts";

interface SysdumpOptions extends ClusterChoice {
  readonly output?: string;
  readonly timeout: number;
}

const limits = { maxFileBytes: 32 * 2 ** 20, maxBytes: 512 * 2 ** 20, groupMs: 60_000 };

/** `weft sysdump`: one archive with what a report of a fault needs. */
export function sysdumpCommand(): Command {
  const command = new Command("sysdump").description(
    "collect what a bug report needs into one archive, without secrets",
  );
  return withKubeconfig(command)
    .option("-o, --output <file>", "the archive (default: weft-sysdump-TIME.tar.gz)")
    .option("--timeout <sec>", "leave out what is not collected after so long", (text) => Number(text), 300)
    .action(run);
}

async function run(options: SysdumpOptions): Promise<void> {
  if (!(options.timeout > 0)) throw new WeftError("E_USAGE", "--timeout is a number of seconds");
  const folder = `weft-sysdump-${new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-")}`;
  const file = resolve(options.output ?? `${folder}.tar.gz`);
  const signal = AbortSignal.timeout(options.timeout * 1000);
  using client = await clusterClient(options);
  const pods = await weftPods(client, signal);
  const installed = [...pods.agent, ...pods.operator][0];
  if (!installed) throw notInstalled(client.server);
  const status: Group = {
    name: "status",
    async read(until) {
      const report = clusterReport(
        await takeSnapshot(client, { version: installedVersion(), signal: until }),
      );
      return [
        { path: "status.json", content: report },
        { path: "status.txt", content: renderCluster(report, true) },
      ];
    },
  };
  const isTerminal = process.stderr.isTTY === true;
  const index = await writeDump({
    file,
    folder,
    groups: [status, ...dumpGroups({ client, namespace: installed.metadata.namespace, pods })],
    signal,
    ...limits,
    progress(done, of, name) {
      if (isTerminal) process.stderr.write(`\r\u001b[K${done}/${of} ${name}`);
      else if (done === of || done % 20 === 0) process.stderr.write(`${done}/${of}\n`);
    },
  });
  if (isTerminal) process.stderr.write("\r\u001b[K");
  const failed = index.filter(({ error }) => error !== undefined);
  for (const { path, error } of failed) process.stdout.write(`not collected: ${path}: ${error}\n`);
  const megabytes = (statSync(file).size / 1e6).toFixed(1);
  process.stdout.write(`${file}: ${index.length - failed.length} files, ${megabytes} MB\n`);
  process.stdout.write("Secrets were taken out; look through it before you hand it on.\n");
}
