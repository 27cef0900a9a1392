// SPDX-License-Identifier: Apache-2.0
import { Command } from "commander";
import { stringify } from "yaml";
import { printObject } from "#cli/print/table.ts";
import { WeftError } from "#lib/errors.ts";
import { type Generated, type GenerateReport, generate } from "#policy/offline/generate.ts";
import { type RecordedArguments, readCluster, readFlows, withRecorded } from "./policy-preview.ts";

const manual = `
One policy a workload, which allows what was seen and nothing else, in both directions. Look at the report before
applying: what was not seen in the time that flows were recorded is denied afterwards.

Examples:
  weft policy generate -n shop > shop-policies.yaml     from the flows that the cluster's agents hold
  weft policy generate -n shop --kind CiliumNetworkPolicy --dns
  weft policy generate -n shop --cluster k8s/ --flows flows.json      by files: no cluster, no root
  weft policy preview -f shop-policies.yaml             changes no flow that was let through
`;

interface GenerateArguments extends RecordedArguments {
  readonly namespace: string;
  readonly kind: string;
  readonly dns?: boolean;
  readonly output: string;
}

export function generateCommand(): Command {
  const command = new Command("generate")
    .description("the least policies that allow a namespace's recorded flows, and what was not seen")
    .requiredOption("-n, --namespace <name>", "the namespace")
    .option("--kind <kind>", "NetworkPolicy or CiliumNetworkPolicy", "NetworkPolicy")
    .option("--dns", "also let every workload ask kube-dns, seen or not")
    .option("-o, --output <form>", "yaml (the report as comments) or json (policies and report)", "yaml");
  return withRecorded(command).addHelpText("after", manual).action(runGenerate);
}

async function runGenerate(args: GenerateArguments): Promise<void> {
  const { kind, namespace, output, dns } = args;
  if (kind !== "NetworkPolicy" && kind !== "CiliumNetworkPolicy")
    throw new WeftError("E_USAGE", `unknown kind "${kind}"`, {
      hint: "one of: NetworkPolicy, CiliumNetworkPolicy",
    });
  if (output !== "yaml" && output !== "json")
    throw new WeftError("E_USAGE", `unknown output form "${output}"`, { hint: "one of: yaml, json" });
  if (args.cluster && args.flows === undefined)
    throw new WeftError("E_USAGE", "with --cluster the flows come from a file: name it with --flows", {
      hint: "`weft observe --all -o json > flows.json` writes one",
    });
  const signal = AbortSignal.timeout(60_000);
  const cluster = await readCluster(args, signal);
  if (!cluster.pods.some((pod) => pod.namespace === namespace))
    throw new WeftError("E_NOT_FOUND", `there are no pods in namespace ${namespace}`);
  const generated = generate(cluster, await readFlows(args, signal), {
    namespace,
    kind,
    ...(dns && { dns }),
  });
  const write = (text: string) => process.stdout.write(text);
  if (output === "json") printObject(generated, "json", write);
  else write(yamlText(generated));
}

function yamlText({ policies, report }: Generated): string {
  const comments = reportLines(report).map((line) => `# ${line}`.trimEnd());
  const documents = policies.map((one) => stringify(one, { aliasDuplicateObjects: false }));
  return `${comments.join("\n")}\n${documents.map((one) => `---\n${one}`).join("")}`;
}

function reportLines(report: GenerateReport): string[] {
  const lines = [`From ${report.flows} flows that were let through.`];
  const list = (title: string, items: readonly string[]) => {
    if (items.length > 0) lines.push(title, ...items.map((item) => `  ${item}`));
  };
  list("Workloads without any flow, for which there is no policy:", report.silentWorkloads);
  list(
    "Declared ports that nobody connected to, denied from now on where there is a policy:",
    report.unseenPorts,
  );
  list("Never seen asking kube-dns, so names will not resolve (--dns allows it):", report.withoutDns);
  list(
    "Dropped, and not allowed here either:",
    report.dropped.map(({ flow, count, reason }) => `${flow}  ${count}×  ${reason}`),
  );
  list("Seen, but a NetworkPolicy has no words for it (--kind CiliumNetworkPolicy has):", report.unsayable);
  list(
    "Policies there are for these pods beside the ones below; what they allow stays allowed:",
    report.besides,
  );
  list("Seen, but the pods are not there any more:", report.unknown);
  return lines;
}
