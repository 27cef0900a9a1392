// SPDX-License-Identifier: Apache-2.0
import { create, toJson } from "@bufbuild/protobuf";
import { FlowFilterSchema } from "#api/gen/flow/flow_pb.ts";
import { GetFlowsResponseSchema } from "#api/gen/observer/observer_pb.ts";
import { type RecordedFlow, readFlow, readOpening } from "#policy/offline/flows.ts";
import { type ObserveOptions, observeRequest, responses } from "./observe-run.ts";

export type FlowChoice = Pick<ObserveOptions, "server" | "kubeconfig" | "context" | "inputFile" | "since"> & {
  readonly uuid?: string;
};

/** Flows that agents still hold, or those of a file of `weft observe -o json` lines: what opened a connection, not its replies (of one asked for by uuid, what it answers). */
export async function recordedFlows(choice: FlowChoice, signal: AbortSignal): Promise<RecordedFlow[]> {
  const { uuid, inputFile, ...rest } = choice;
  const options: ObserveOptions = {
    ...rest,
    all: true,
    ...(inputFile !== undefined && { inputFile }),
    ...(uuid !== undefined && { whitelist: [create(FlowFilterSchema, { uuid: [uuid] })] }),
  };
  const found: RecordedFlow[] = [];
  for await (const response of responses(options, observeRequest(options, Date.now()), signal)) {
    const line = toJson(GetFlowsResponseSchema, response, { useProtoFieldName: true });
    const flow = uuid === undefined ? readFlow(line) : readOpening(line);
    if (flow) found.push(flow);
  }
  return found;
}
