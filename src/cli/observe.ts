// SPDX-License-Identifier: Apache-2.0
import { Command, Option } from "commander";
import { WeftError } from "#lib/errors.ts";
import { FilterArguments } from "./observe-filter.ts";
import { defaultPrint, isFlowOutput, observe, parseRawFilter } from "./observe-run.ts";
import type { FlowPrinterOptions } from "./print/flow-printer.ts";
import { timeFormats } from "./print/flow-time.ts";
import type { ClusterChoice } from "./target.ts";

const manual = `
How filters combine:
  The same filter twice: a flow matches either value.
  Different filters: a flow matches all of them.
  --not before a filter: flows that match it are left out (for the next filter only).

Examples:
  weft observe -f -n shop                                  everything from or to the namespace shop, as it comes
  weft observe --verdict DROPPED --last 50                 the last 50 drops, with the policy that denied
  weft observe --from-pod shop/cart --to-port 5432         what the cart pods send to port 5432
  weft observe -f --not --protocol icmp --not -l app=probe without ICMP and without the probe
  weft observe --since 5m -o jsonpb                        the last five minutes as JSON, one flow a line
`;

/** Flags, then what they say; \`{sides}\` filters exist as they are, as --from-… and as --to-…. */
const sidedFilters: readonly (readonly [string, string, string])[] = [
  ["--pod", "<[namespace/]name>", 'pods by name prefix; without a namespace: "default"'],
  ["--namespace", "<name>", "pods and services of the namespace"],
  ["--label", "<selector>", "endpoints with the labels (app=web, reserved:world)"],
  ["--ip", "<address|cidr>", "addresses"],
  ["--port", "<port>", "ports"],
  ["--identity", "<number|name>", "security identities (1234, world)"],
  ["--service", "<[namespace/]name>", "services by name prefix"],
  ["--workload", "<[kind/]name>", "workloads (Deployment/front)"],
  ["--fqdn", "<pattern>", "domain names, * for any part"],
  ["--cluster", "<pattern>", "clusters"],
];

const shorts: Readonly<Record<string, string>> = { "--namespace": "-n", "--label": "-l" };

const plainFilters: readonly (readonly [string, string])[] = [
  ["--verdict <verdict>", "FORWARDED, DROPPED, AUDIT, REDIRECTED, ERROR, TRACED or TRANSLATED"],
  ["-t, --type <type[:subtype]>", "event type: drop, trace, policy-verdict; trace:to-endpoint and the like"],
  ["--protocol <name>", "tcp, udp, icmp, icmpv4, icmpv6, sctp"],
  ["--drop-reason-desc <name>", "drop reason (POLICY_DENIED)"],
  ["--traffic-direction <direction>", "ingress or egress"],
  ["--tcp-flags <flags>", "TCP flags that are all set (SYN,ACK)"],
  ["--reply [bool]", "replies only; with false: no replies"],
  ["--ip-version <version>", "v4, v6 or none"],
  ["-4, --ipv4", "IPv4 only"],
  ["-6, --ipv6", "IPv6 only"],
  ["--interface <name>", "where the flow was seen"],
  ["--node-name <pattern>", "[cluster/]node, * for any part"],
  ["--node-label <selector>", "nodes with the labels"],
  ["--snat-ip <address>", "translated source address"],
  ["--http-status <prefix>", "HTTP status code"],
  ["--http-method <method>", "HTTP method"],
  ["--http-path <pattern>", "HTTP path"],
  ["--uuid <uuid>", "one flow by its identifier"],
];

interface CommandOptions extends ClusterChoice {
  readonly server?: string;
  readonly last?: number;
  readonly first?: number;
  readonly all?: boolean;
  readonly follow?: boolean;
  readonly since?: string;
  readonly until?: string;
  readonly output: string;
  readonly color: string;
  readonly timeFormat: string;
  readonly printNodeName?: boolean;
  readonly printPolicyNames?: boolean;
  readonly policies: boolean;
  readonly why?: boolean;
  readonly numeric?: boolean;
  readonly ipTranslation: boolean;
  readonly debug?: boolean;
  readonly silentErrors?: boolean;
  readonly printRawFilters?: boolean;
  readonly inputFile?: string;
  readonly fieldMask?: string;
  readonly allowlist?: string[];
  readonly denylist?: string[];
}

/** `weft observe`: Hubble's options and output. */
export function observeCommand(): Command {
  const command = new Command("observe")
    .description("show the flows of the network")
    .addHelpText("after", manual);
  addSelectors(command);
  const filters = addFilters(command);
  addFormatting(command);
  command.action(async (options: CommandOptions) => {
    const stop = new AbortController();
    const interrupt = () => stop.abort();
    process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
    try {
      const { whitelist, blacklist } = filters.result();
      await observe(
        {
          ...options,
          whitelist: [...whitelist, ...(options.allowlist ?? []).map(parseRawFilter)],
          blacklist: [...blacklist, ...(options.denylist ?? []).map(parseRawFilter)],
          fieldMask: options.fieldMask?.split(",") ?? [],
          print: printOptions(options),
        },
        { stdout: process.stdout, stderr: process.stderr, signal: stop.signal, now: Date.now },
      );
    } finally {
      process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
    }
  });
  return command;
}

function addSelectors(command: Command): void {
  command
    .optionsGroup("Which flows:")
    .option("--last <n>", "the newest n flows (default 20; of each node when many are asked)", count)
    .option("--first <n>", "the oldest n flows", count)
    .option("--all", "all flows that are still held")
    .option("--since <time>", "from a time on: 30s, 1h43m, 2026-11-22, 2026-11-22T15:04:05Z")
    .option("--until <time>", "up to a time")
    .option("-f, --follow", "go on with flows as they come")
    .option(
      "--server <address>",
      "HOST:PORT or unix:///PATH (default: the cluster's relay, the lab's observer or this node's)",
    )
    .option("--kubeconfig <file>", "the cluster to ask, through its API server (default: $KUBECONFIG)")
    .option("--context <name>", "context of the kubeconfig")
    .option("--input-file <file>", "print flows saved with -o jsonpb instead; - for stdin");
}

/** Filter options count in the order they are given, so they are taken as commander meets them. */
function addFilters(command: Command): FilterArguments {
  const filters = new FilterArguments();
  const add = (flags: string, description: string) => {
    const option = new Option(flags, description);
    command.addOption(option);
    command.on(`option:${option.name()}`, (value: string | undefined) =>
      filters.add(option.name(), value ?? ""),
    );
  };
  command.optionsGroup("Filters:");
  add("--not", "turn the next filter around");
  for (const [flag, argument, what] of sidedFilters) {
    const short = shorts[flag] === undefined ? "" : `${shorts[flag]}, `;
    add(`${short}${flag} ${argument}`, `from or to ${what}`);
    add(`--from-${flag.slice(2)} ${argument}`, "likewise, of the source only");
    add(`--to-${flag.slice(2)} ${argument}`, "likewise, of the destination only");
  }
  add("-A, --all-namespaces", "from or to pods of any namespace");
  add("--from-all-namespaces", "likewise, of the source only");
  add("--to-all-namespaces", "likewise, of the destination only");
  for (const [flags, description] of plainFilters) add(flags, description);
  const collect = (value: string, before: string[] | undefined) => [...(before ?? []), value];
  command
    .option("--allowlist <json>", "a FlowFilter in JSON, as an alternative to the filters above", collect)
    .option("--denylist <json>", "a FlowFilter in JSON that leaves flows out", collect)
    .option("--print-raw-filters", "print the filters as they would be sent, and stop");
  return filters;
}

function addFormatting(command: Command): void {
  command
    .optionsGroup("Output:")
    .option("-o, --output <form>", "compact, dict, table, jsonpb or json", "compact")
    .addOption(new Option("--color <when>", "colours").choices(["auto", "always", "never"]).default("auto"))
    .addOption(
      new Option("--time-format <name>", "format of times, in UTC")
        .choices(Object.keys(timeFormats))
        .default("StampMilli"),
    )
    .option("--print-node-name", "with the node that saw the flow")
    .option("--print-policy-names", "policy names after the verdict")
    .option("--why", "of every flow the rules that decided, file and line; a drop tells them anyway")
    .option("--no-policies", "without the policies at the end of the line")
    .option("--numeric", "addresses instead of names")
    .option("--ip-translation <bool>", "names instead of addresses", (text) => text !== "false", true)
    .option("--field-mask <fields>", "only these fields of a flow, with commas (jsonpb)")
    .option("-s, --silent-errors", "say nothing about nodes that do not answer")
    .option("--debug", "also tell of nodes that connect and leave");
}

function count(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new WeftError("E_USAGE", `"${text}" is not a number of flows`);
  return Number(text);
}

function printOptions(options: CommandOptions): FlowPrinterOptions {
  const output =
    options.output.toLowerCase() === "json" ? "jsonpb" : options.output === "tab" ? "table" : options.output;
  if (!isFlowOutput(output)) {
    throw new WeftError("E_USAGE", `unknown output form "${options.output}"`, {
      hint: "one of: compact, dict, table, jsonpb, json",
    });
  }
  if (options.fieldMask !== undefined && output !== "jsonpb") {
    throw new WeftError("E_USAGE", "--field-mask goes with -o jsonpb: the other forms need their fields");
  }
  const isTerminal = process.stdout.isTTY === true && !process.env["NO_COLOR"];
  return {
    ...defaultPrint,
    output,
    color: options.color === "always" || (options.color === "auto" && isTerminal),
    timeFormat: options.timeFormat,
    nodeName: options.printNodeName ?? false,
    policyNames: options.printPolicyNames ?? false,
    why: options.why ?? false,
    policies: options.policies,
    translate: options.ipTranslation && !options.numeric,
    debug: options.debug ?? false,
  };
}
