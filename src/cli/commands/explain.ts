// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { Command } from "commander";
import { type SettingsArguments, withSettings } from "#cli/cluster-settings.ts";
import { liveCluster } from "#cli/live-objects.ts";
import { collect, fileCluster } from "#cli/offline-cluster.ts";
import { explanationText } from "#cli/print/explain.ts";
import { printObject } from "#cli/print/table.ts";
import { recordedFlows } from "#cli/recorded-flows.ts";
import { type ClusterChoice, withKubeconfig } from "#cli/target.ts";
import { WeftError } from "#lib/errors.ts";
import { parsePort } from "#model/port.ts";
import { ask } from "#policy/offline/ask.ts";
import type { OfflineCluster } from "#policy/offline/cluster.ts";
import { findParties, type Party, withImagined } from "#policy/offline/ends.ts";
import { type Asked, type Explanation, explain } from "#policy/offline/explain.ts";
import { deniedByPolicy, flowEndText, flowParty, type RecordedFlow } from "#policy/offline/flows.ts";
import { createJudge } from "#policy/offline/judge.ts";

const manual = `
Who is meant by --from and --to:
  shop/front              a pod, a workload (one of its pods), or a service, in this order
  service:shop/front      the service; it is judged by its backends
  node:worker-1           the node: its processes, and pods in its network
  203.0.113.7             whoever has the address: a pod, a node, a service, or somebody outside
  app=front,tier          every pod with the labels; when there is none, one that would have them
  world, host, remote-node, kube-apiserver   a reserved identity

Examples:
  weft explain --from shop/front --to shop/cart --port 80/TCP           in the lab, or the kubeconfig's cluster
  weft explain -f k8s/ --from shop/front --to data/database --port 5432 by manifests: no cluster, no root
  weft explain -f k8s/ --from app=new -n shop --to 203.0.113.7 --port 443
  weft observe --verdict DROPPED --last 1 -o json | weft explain -      why that flow was dropped
  weft explain 5d0c2c6a-0000-4000-8000-000000000001                     a flow by its uuid
`;

interface ExplainArguments extends ClusterChoice, SettingsArguments {
  readonly filename?: readonly string[];
  readonly from?: string;
  readonly to?: string;
  readonly port?: string;
  readonly namespace: string;
  readonly output?: string;
}

export function explainCommand(): Command {
  const command = new Command("explain")
    .description("why a connection is allowed or denied, rule by rule, and what would allow it")
    .argument("[flow]", "a flow's uuid, a file with lines of `weft observe -o json`, or - for stdin")
    .option("-f, --filename <path>", "answer by these manifests, not by a cluster (repeatable)", collect)
    .option("--from <who>", "who connects")
    .option("--to <who>", "to whom")
    .option("--port <port>", "80/TCP, 53/UDP, ICMP, …")
    .option("-n, --namespace <name>", "of names without one", "default")
    .option("-o, --output <form>", "output form: text, json or yaml", "text");
  return withKubeconfig(withSettings(command)).addHelpText("after", manual).action(runExplain);
}

async function runExplain(flow: string | undefined, args: ExplainArguments): Promise<void> {
  const form = args.output;
  if (form !== "text" && form !== "json" && form !== "yaml")
    throw new WeftError("E_USAGE", `unknown output form "${form}"`, { hint: "one of: text, json, yaml" });
  const signal = AbortSignal.timeout(60_000);
  const questions = flow === undefined ? undefined : await flowsOf(flow, args, signal);
  const cluster = args.filename ? fileCluster(args.filename, args) : await liveCluster(args, signal);
  const explanations = questions
    ? questions.map((one) => explainFlow(cluster, one))
    : explainQuestion(cluster, args);
  const write = (text: string) => process.stdout.write(text);
  if (form === "text")
    write(explanations.map((one) => explanationText(one, process.stdout.columns)).join("\n"));
  else printObject(explanations.length === 1 ? explanations[0] : explanations, form, write);
}

const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

async function flowsOf(flow: string, args: ExplainArguments, signal: AbortSignal): Promise<RecordedFlow[]> {
  const { kubeconfig, context } = args;
  const cluster = { ...(kubeconfig && { kubeconfig }), ...(context && { context }) };
  if (!uuidForm.test(flow) && flow !== "-" && !existsSync(flow))
    throw new WeftError("E_USAGE", `${flow} is neither a flow's uuid nor a file`, {
      hint: "the file has lines of `weft observe -o json`; a question is asked with --from, --to and --port",
    });
  const source = uuidForm.test(flow) ? { ...cluster, uuid: flow } : { inputFile: flow };
  const found = await recordedFlows(source, signal);
  if (found.length > 0) return found;
  throw uuidForm.test(flow)
    ? new WeftError("E_NOT_FOUND", `no agent holds a flow ${flow} any more`, {
        hint: "agents keep the last flows only (flowBuffer): keep lines of `weft observe -o json` to explain them later",
      })
    : new WeftError("E_INPUT", `${flow}: no flow in it that opened a connection`);
}

function explainQuestion(cluster: OfflineCluster, args: ExplainArguments): Explanation[] {
  const { from, to, port, namespace } = args;
  if (from === undefined || to === undefined || port === undefined)
    throw new WeftError("E_USAGE", "name a flow, or ask with --from, --to and --port", {
      hint: "--from shop/front --to shop/cart --port 80/TCP",
    });
  const asked = parsePort(port);
  const sources = findParties(cluster, from, namespace);
  const targets = findParties(cluster, to, namespace);
  const judge = createJudge(withImagined(cluster, [...sources, ...targets]));
  return sources.flatMap((one) => {
    if (one.kind === "service")
      throw new WeftError("E_QUESTION", `--from ${from} is a service, which connects to nobody`);
    return targets.map((other) => {
      const question: Asked = { from: one, to: other, port: asked };
      return explain(judge, question, ask(judge, one, other, asked));
    });
  });
}

/** By the policies there are now; that another verdict was recorded is said. */
function explainFlow(cluster: OfflineCluster, flow: RecordedFlow): Explanation {
  const party = (side: "from" | "to"): Party => {
    const found = flowParty(cluster, flow[side]);
    if (!found)
      throw new WeftError(
        "E_NOT_FOUND",
        `there is no pod ${flowEndText(flow[side])} any more that the flow was ${side}`,
      );
    return found;
  };
  const [from, to] = [party("from"), party("to")];
  if (from.kind === "service") throw new WeftError("E_INPUT", "the flow's source is a service's address");
  const judge = createJudge(cluster);
  const told = explain(judge, { from, to, port: flow }, ask(judge, from, to, flow));
  const recorded = flow.verdict === "DROPPED" ? "deny" : "allow";
  const what = `recorded ${flow.time}: ${flow.verdict}${flow.dropReason === "" ? "" : ` (${flow.dropReason})`}`;
  const other = flow.verdict === "DROPPED" && !deniedByPolicy(flow) ? "; not policy's doing" : "";
  const changed =
    recorded !== told.verdict && other === "" ? "; the policies there are now say otherwise" : "";
  return { ...told, notes: [what + other + changed, ...told.notes] };
}
