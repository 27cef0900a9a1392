// SPDX-License-Identifier: Apache-2.0
import { create } from "@bufbuild/protobuf";
import type { Flow } from "#api/gen/flow/flow_pb.ts";
import { VerdictSchema } from "#api/gen/flow/flow_pb.ts";
import { GetFlowsRequestSchema } from "#api/gen/observer/observer_pb.ts";
import { timestamp } from "#flows/decode.ts";
import { enumName } from "#flows/enum-names.ts";
import type { FlowSource } from "../flow-source.ts";
import type { FlowLine } from "./context.ts";

const newest = 200n;

/** Flows from or to pods of a namespace since then, oldest first; the newest 200 of each node. */
export async function flowsOf(
  source: FlowSource,
  namespace: string,
  sinceMs: number,
  signal: AbortSignal,
): Promise<FlowLine[]> {
  const request = create(GetFlowsRequestSchema, {
    number: newest,
    since: timestamp(BigInt(sinceMs) * 1_000_000n),
    whitelist: [{ sourcePod: [`${namespace}/`] }, { destinationPod: [`${namespace}/`] }],
  });
  const lines: FlowLine[] = [];
  for await (const { responseTypes } of source.getFlows(request, signal))
    if (responseTypes.case === "flow") lines.push(flowLine(responseTypes.value, namespace));
  return lines;
}

function flowLine(flow: Flow, namespace: string): FlowLine {
  const source = flow.source?.podName || flow.IP?.source || "?";
  const destination = flow.destination?.podName || flow.IP?.destination || "?";
  const verdict = enumName(VerdictSchema, flow.verdict);
  const policies = [...flow.ingressDeniedBy, ...flow.egressDeniedBy].map(({ name }) => name);
  const { protocol } = flow.l4 ?? {};
  const port =
    protocol?.case === "TCP" || protocol?.case === "UDP" ? `:${protocol.value.destinationPort}` : "";
  const by = policies.length > 0 ? ` by ${policies.join(", ")}` : "";
  return {
    verdict,
    source,
    destination,
    policies,
    telling: verdict === "DROPPED" || (flow.source?.namespace === namespace && flow.isReply !== true),
    text: `${source} → ${destination}${port} ${protocol?.case ?? ""} ${verdict}${by} (seen on ${flow.nodeName})`,
  };
}
