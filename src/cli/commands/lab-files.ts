// SPDX-License-Identifier: Apache-2.0
import { Command } from "commander";
import { annotateSource, checkPolicyFiles } from "#cli/policy-files.ts";
import { type Applied, applyManifests, deleteManifests } from "#lab/apply.ts";
import { labClient } from "#lab/status.ts";
import { WeftError } from "#lib/errors.ts";

export function applyCommand(): Command {
  return filesCommand("apply", "create or change what the manifests say", applyManifests);
}

export function deleteCommand(): Command {
  return filesCommand("delete", "delete what the manifests name", deleteManifests);
}

function filesCommand(name: string, description: string, work: typeof applyManifests): Command {
  return new Command(name)
    .description(description)
    .requiredOption(
      "-f, --filename <path>",
      "manifest file or directory, - for stdin (repeatable)",
      (value: string, list: string[] = []) => [...list, value],
    )
    .option("-n, --namespace <name>", "namespace of objects that name none")
    .action(async (options: { filename: string[]; namespace?: string }) => {
      if (work === applyManifests) checkPolicyFiles(options.filename);
      using client = await labClient();
      const onApplied = (one: Applied) => process.stdout.write(`${one.what} ${one.action}\n`);
      const done = await work({
        client,
        annotate: annotateSource,
        paths: options.filename,
        onApplied,
        ...(options.namespace && { namespace: options.namespace }),
      });
      if (done.length === 0)
        throw new WeftError("E_MANIFEST", `${options.filename.join(", ")}: there is no object in it`);
    });
}
