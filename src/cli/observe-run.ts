// SPDX-License-Identifier: Apache-2.0

import { once } from "node:events";
import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import { create, fromJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type FlowFilter, FlowFilterSchema } from "#api/gen/flow/flow_pb.ts";
import {
  type GetFlowsRequest,
  GetFlowsRequestSchema,
  type GetFlowsResponse,
  GetFlowsResponseSchema,
} from "#api/gen/observer/observer_pb.ts";
import { observerClient } from "#flows/client.ts";
import { timestamp } from "#flows/decode.ts";
import { statePaths } from "#lab/layout.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { clusterFlows, type FlowSource, sourceOf } from "#live/flow-source.ts";
import { filterText } from "./observe-filter.ts";
import { parseMoment } from "./observe-time.ts";
import { createFlowPrinter, type FlowOutput, type FlowPrinterOptions } from "./print/flow-printer.ts";
import { type ClusterChoice, clusterClient, namesCluster } from "./target.ts";

/** What `weft observe` was asked for. */
export interface ObserveOptions extends ClusterChoice {
  /** `host:port` or `unix:///path`; absent: the lab's observer, else the agent's on this machine. */
  readonly server?: string;
  readonly last?: number;
  readonly first?: number;
  readonly all?: boolean;
  readonly follow?: boolean;
  readonly since?: string;
  readonly until?: string;
  readonly whitelist?: readonly FlowFilter[];
  readonly blacklist?: readonly FlowFilter[];
  readonly fieldMask?: readonly string[];
  /** Read responses from a file of JSON lines instead, `-` for stdin. */
  readonly inputFile?: string;
  readonly printRawFilters?: boolean;
  readonly silentErrors?: boolean;
  readonly print?: Partial<FlowPrinterOptions>;
}

export interface ObserveIo {
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signal: AbortSignal;
  now(): number;
}

const defaultLast = 20;
const installedSocket = "/run/weft/observer.sock";

/**
 * Prints flows as they come until the answer ends or the signal aborts.
 * @throws WeftError E_USAGE for what cannot be asked, E_OBSERVER when the server does not answer
 */
export async function observe(options: ObserveOptions, io: ObserveIo): Promise<void> {
  const request = observeRequest(options, io.now());
  if (options.printRawFilters) {
    io.stdout.write(rawFilterText(request));
    return;
  }
  const print: FlowPrinterOptions = { ...defaultPrint, ...options.print };
  if (print.output === "table" && options.follow)
    throw new WeftError("E_USAGE", "a table cannot be followed", { hint: "use -o compact" });
  let text = "";
  const printer = createFlowPrinter(print, {
    stdout: (more) => {
      text += more;
    },
    stderr: (more) => {
      if (!options.silentErrors) io.stderr.write(more);
    },
  });
  const flush = async () => {
    const ready = text === "" || io.stdout.write(text);
    text = "";
    // A reader slower than the flows makes us wait here, and the server with us.
    if (!ready) await once(io.stdout, "drain", { signal: io.signal }).catch(() => {});
  };
  for await (const response of responses(options, request, io.signal)) {
    printer.print(response);
    await flush();
  }
  printer.end();
  await flush();
}

export const defaultPrint: FlowPrinterOptions = {
  output: "compact",
  color: false,
  timeFormat: "StampMilli",
  nodeName: false,
  policyNames: false,
  policies: true,
  translate: true,
  debug: false,
};

/** The request for the options; moments are counted from `nowMs`. @throws WeftError E_USAGE */
export function observeRequest(options: ObserveOptions, nowMs: number): GetFlowsRequest {
  const { first, last, all, follow, since, until, inputFile } = options;
  const exclude = (a: string, b: string) => {
    throw new WeftError("E_USAGE", `--${a} and --${b} cannot be combined`);
  };
  if (first !== undefined && last !== undefined) exclude("first", "last");
  if (first !== undefined && all) exclude("first", "all");
  if (first !== undefined && follow) exclude("first", "follow");
  if (last !== undefined && all) exclude("last", "all");
  if (until !== undefined && follow) exclude("until", "follow");
  const ranged = since !== undefined || until !== undefined;
  let number = BigInt(first ?? last ?? 0);
  if (all && !ranged) number = 0xffff_ffff_ffff_ffffn;
  else if (number === 0n && !follow && !ranged && inputFile === undefined) number = BigInt(defaultLast);
  return create(GetFlowsRequestSchema, {
    number,
    first: first !== undefined,
    follow: follow ?? false,
    whitelist: [...(options.whitelist ?? [])],
    blacklist: [...(options.blacklist ?? [])],
    ...(since !== undefined && { since: timestamp(parseMoment(since, nowMs)) }),
    ...(until !== undefined && { until: timestamp(parseMoment(until, nowMs)) }),
    ...(options.fieldMask &&
      options.fieldMask.length > 0 && { fieldMask: { paths: [...options.fieldMask] } }),
  });
}

/** Filters as a client of the API would send them: one JSON text each. @throws WeftError E_USAGE */
export function parseRawFilter(text: string): FlowFilter {
  try {
    return fromJsonString(FlowFilterSchema, text);
  } catch (cause) {
    throw new WeftError("E_USAGE", `"${text}" is not a flow filter in JSON`, { cause });
  }
}

export function isFlowOutput(text: string): text is FlowOutput {
  return text === "compact" || text === "dict" || text === "jsonpb" || text === "table";
}

/** What the observer answers, or what a file holds. */
export async function* responses(
  options: ObserveOptions,
  request: GetFlowsRequest,
  signal: AbortSignal,
): AsyncGenerator<GetFlowsResponse> {
  if (options.inputFile !== undefined) {
    if (request.whitelist.length + request.blacklist.length > 0) {
      throw new WeftError(
        "E_USAGE",
        "flows of a file are printed as they are: --input-file takes no filters",
      );
    }
    yield* readResponses(options.inputFile, signal);
    return;
  }
  await using source = await flowSource(options, signal);
  try {
    yield* source.getFlows(request, signal);
  } catch (thrown) {
    if (signal.aborted) return;
    throw observerError(thrown, source.name);
  }
}

/** The server named, else the cluster named, else the observer of this machine, else the cluster of `~/.kube/config`. */
async function flowSource(options: ObserveOptions, signal: AbortSignal): Promise<FlowSource> {
  const named = options.server ?? process.env["WEFT_SERVER"];
  const server =
    named ?? (namesCluster(options) ? undefined : localObservers.find((path) => existsSync(path)));
  if (server !== undefined) return sourceOf(observerClient(server));
  const client = await clusterClient(options).catch((cause: unknown) => {
    if (namesCluster(options)) throw cause;
    throw new WeftError("E_OBSERVER", "no observer runs on this machine, and there is no kubeconfig", {
      hint: "start a lab with `weft lab up`, name a cluster with --kubeconfig or an observer with --server",
    });
  });
  return clusterFlows(client, signal);
}

const localObservers = [statePaths.observer, installedSocket];

function observerError(thrown: unknown, address: string): WeftError {
  const error = ConnectError.from(thrown);
  if (error.code === Code.InvalidArgument) return new WeftError("E_USAGE", error.rawMessage);
  if (error.code === Code.Unavailable) {
    return new WeftError("E_OBSERVER", `no observer answers at ${address}`, {
      cause: error.cause,
      hint: "start a lab with `weft lab up`, or name another with --server",
    });
  }
  return new WeftError("E_OBSERVER", `observer ${address}: ${error.rawMessage}`);
}

async function* readResponses(path: string, signal: AbortSignal): AsyncGenerator<GetFlowsResponse> {
  // Stdin may be a socket, which can't be opened by a path.
  await using file = path === "-" ? undefined : await open(path);
  const lines = file?.readLines({ signal }) ?? createInterface({ input: process.stdin, signal });
  let at = 0;
  for await (const line of lines) {
    at++;
    if (line.trim() === "") continue;
    try {
      yield fromJsonString(GetFlowsResponseSchema, line, { ignoreUnknownFields: true });
    } catch (cause) {
      throw new WeftError("E_INPUT", `${path}, line ${at}: not a flow in JSON (${errorText(cause)})`);
    }
  }
}

function rawFilterText({ whitelist, blacklist }: GetFlowsRequest): string {
  const list = (name: string, filters: readonly FlowFilter[]) =>
    filters.length === 0
      ? ""
      : `${name}:\n${filters.map((filter) => `    - '${filterText(filter)}'\n`).join("")}`;
  return list("allowlist", whitelist) + list("denylist", blacklist);
}
