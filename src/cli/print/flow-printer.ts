// SPDX-License-Identifier: Apache-2.0
import { toJson } from "@bufbuild/protobuf";
import { type Flow, type LostEvent, LostEventSourceSchema } from "#api/gen/flow/flow_pb.ts";
import { type GetFlowsResponse, GetFlowsResponseSchema } from "#api/gen/observer/observer_pb.ts";
import { NodeState, NodeStateSchema, type NodeStatusEvent } from "#api/gen/relay/relay_pb.ts";
import { enumName } from "#flows/enum-names.ts";
import {
  clean,
  coloured,
  hostTexts,
  identityTexts,
  plain,
  policyText,
  type TextOptions,
  typeText,
  verdictText,
} from "./flow-text.ts";
import { formatTime } from "./flow-time.ts";

export type FlowOutput = "compact" | "dict" | "jsonpb" | "table";

export interface FlowPrinterOptions {
  readonly output: FlowOutput;
  readonly color: boolean;
  /** A name of {@link timeFormats}. */
  readonly timeFormat: string;
  readonly nodeName: boolean;
  /** ` BY name (kind)` after the verdict, as Hubble's --print-policy-names. */
  readonly policyNames: boolean;
  /** Which policies decided, at the end of a compact line and as POLICY in dict. */
  readonly policies: boolean;
  /** Also the rules that allowed it, and that no policy selects. */
  readonly why?: boolean;
  readonly translate: boolean;
  /** Also tell of nodes that connect and leave. */
  readonly debug: boolean;
}

/** Where flows go, and what is said about nodes. */
export interface FlowOutputs {
  stdout(text: string): void;
  stderr(text: string): void;
}

export interface FlowPrinter {
  print(response: GetFlowsResponse): void;
  /** Prints what was held back: a table's columns are known only at its end. */
  end(): void;
}

const separator = "------------\n";

/** Prints flows as the hubble command does; flows and notes of loss to stdout, nodes' states to stderr. */
export function createFlowPrinter(options: FlowPrinterOptions, outputs: FlowOutputs): FlowPrinter {
  const write = (text: string) => outputs.stdout(clean(text));
  const paint =
    options.color && (options.output === "compact" || options.output === "dict") ? coloured : plain;
  const text: TextOptions = { paint, translate: options.translate };
  const rows: string[][] = [];
  let printed = 0;
  const context: PrintContext = { options, text, rows, isFirst: () => printed === 0 };
  return {
    print(response) {
      const { responseTypes } = response;
      if (responseTypes.case === "nodeStatus") {
        printNodeStatus(response, responseTypes.value, options, (line) => outputs.stderr(clean(line)));
        return;
      }
      if (responseTypes.case === undefined) return;
      if (options.output === "jsonpb") outputs.stdout(jsonLine(response));
      else if (responseTypes.case === "flow") write(flowText(responseTypes.value, context));
      else write(lostText(responseTypes.value, context));
      printed++;
    },
    end() {
      if (options.output === "table" && rows.length > 0) write(alignTable([tableHeader(options), ...rows]));
    },
  };
}

interface PrintContext {
  readonly options: FlowPrinterOptions;
  readonly text: TextOptions;
  /** Of a table: printed at the end. */
  readonly rows: string[][];
  isFirst(): boolean;
}

/** One line: JSON as the proto3 mapping has it, with the field names of the .proto file. */
function jsonLine(response: GetFlowsResponse): string {
  return `${JSON.stringify(toJson(GetFlowsResponseSchema, response, { useProtoFieldName: true }))}\n`;
}

function flowText(flow: Flow, { options, text, rows, isFirst }: PrintContext): string {
  const time = formatTime(options.timeFormat, flow.time);
  const hosts = hostTexts(flow, text);
  const verdict = verdictText(flow, text, options.policyNames);
  if (options.output === "table") {
    const node = options.nodeName ? [flow.nodeName] : [];
    rows.push([time, ...node, hosts.source, hosts.destination, typeText(flow), verdict, flow.Summary]);
    return "";
  }
  if (options.output === "compact") return compactLine(flow, { options, text, rows, isFirst });
  const policies = options.policies ? policyText(flow, options.why).slice(2, -1) : "";
  const lines = [
    ["TIMESTAMP", time],
    ...(options.nodeName ? [["NODE", flow.nodeName]] : []),
    ["SOURCE", hosts.source],
    ["DESTINATION", hosts.destination],
    ["TYPE", typeText(flow)],
    ["VERDICT", verdict],
    ["SUMMARY", flow.Summary],
    ...(policies === "" ? [] : [["POLICY", policies]]),
  ];
  return dictText(lines, isFirst());
}

/** The arrow shows who opened the connection: a reply is printed with its sides exchanged. */
function compactLine(flow: Flow, { options, text }: PrintContext): string {
  const hosts = hostTexts(flow, text);
  const identities = identityTexts(flow, text);
  const source = `${hosts.source} ${identities.source}`;
  const destination = `${hosts.destination} ${identities.destination}`;
  const [left, arrow, right] =
    flow.isReply === undefined
      ? [source, "<>", destination]
      : flow.isReply
        ? [destination, "<-", source]
        : [source, "->", destination];
  const node = options.nodeName ? ` [${flow.nodeName}]` : "";
  const verdict = verdictText(flow, text, options.policyNames);
  const policies = options.policies && !options.policyNames ? policyText(flow, options.why) : "";
  return `${formatTime(options.timeFormat, flow.time)}${node}: ${left} ${arrow} ${right} ${typeText(flow)} ${verdict} (${flow.Summary})${policies}\n`;
}

function lostText(lost: LostEvent, { options, rows, isFirst }: PrintContext): string {
  const source = enumName(LostEventSourceSchema, lost.source);
  const cpu = lost.cpu ?? 0;
  if (options.output === "compact") return `EVENTS LOST: ${source} CPU(${cpu}) ${lost.numEventsLost}\n`;
  const summary = `CPU(${cpu}) - ${lost.numEventsLost}`;
  if (options.output === "table") {
    rows.push(["", ...(options.nodeName ? [""] : []), source, "", "EVENTS LOST", "", summary]);
    return "";
  }
  const node = options.nodeName ? [["NODE", ""]] : [];
  const lines = [
    ["TIMESTAMP", ""],
    ...node,
    ["SOURCE", source],
    ["TYPE", "EVENTS LOST"],
    ["VERDICT", ""],
    ["SUMMARY", summary],
  ];
  return dictText(lines, isFirst());
}

function dictText(lines: readonly string[][], first: boolean): string {
  return (first ? "" : separator) + lines.map(([key, value]) => `${key!.padStart(11)}: ${value}\n`).join("");
}

function tableHeader({ nodeName }: FlowPrinterOptions): string[] {
  return ["TIMESTAMP", ...(nodeName ? ["NODE"] : []), "SOURCE", "DESTINATION", "TYPE", "VERDICT", "SUMMARY"];
}

function alignTable(rows: readonly string[][]): string {
  const widths = rows[0]!.map((_, column) =>
    rows.reduce((width, row) => Math.max(width, row[column]!.length), 0),
  );
  return rows
    .map(
      (row) =>
        `${row.map((cell, i) => (i < row.length - 1 ? cell.padEnd(widths[i]! + 3) : cell)).join("")}\n`,
    )
    .join("");
}

const namesShown = 50;

/** `n1, n2 (and 3 more)`: at least one name, then as many as fit. */
function joinNodes(names: readonly string[]): string {
  let shown = Math.min(1, names.length);
  let length = (names[0]?.length ?? 0) + 2;
  while (shown < names.length && length + names[shown]!.length + 2 <= namesShown)
    length += names[shown++]!.length + 2;
  const more = names.length - shown;
  return names.slice(0, shown).join(", ") + (more > 0 ? ` (and ${more} more)` : "");
}

function printNodeStatus(
  response: GetFlowsResponse,
  status: NodeStatusEvent,
  options: FlowPrinterOptions,
  write: (text: string) => void,
): void {
  const { stateChange, nodeNames, message } = status;
  const isTrouble = stateChange === NodeState.NODE_ERROR || stateChange === NodeState.NODE_UNAVAILABLE;
  if (!isTrouble && !options.debug) return;
  if (options.output === "jsonpb") {
    write(jsonLine(response));
    return;
  }
  const time = formatTime(options.timeFormat, response.time);
  const nodes = joinNodes(nodeNames);
  if (options.output === "dict") {
    const lines = [
      ["TIMESTAMP", time],
      ["STATE", enumName(NodeStateSchema, stateChange)],
      ["NODES", nodes],
      ["MESSAGE", message === "" ? "N/A" : JSON.stringify(message)],
    ];
    write(dictText(lines, false));
    return;
  }
  const what: Readonly<Record<number, string>> = {
    [NodeState.NODE_CONNECTED]: `Receiving flows from ${nodeNames.length} nodes: ${nodes}`,
    [NodeState.NODE_UNAVAILABLE]: `${nodeNames.length} nodes are unavailable: ${nodes}`,
    [NodeState.NODE_GONE]: `${nodeNames.length} nodes removed from cluster: ${nodes}`,
    [NodeState.NODE_ERROR]: `Error ${JSON.stringify(message)} on ${nodeNames.length} nodes: ${nodes}`,
  };
  write(`${time} [${response.nodeName}]: ${what[stateChange] ?? `unknown node state ${stateChange}`}\n`);
}
