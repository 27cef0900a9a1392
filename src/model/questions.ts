// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import { parseJsonList } from "#lib/json-list.ts";
import { isAddress } from "./ip.ts";
import { type PortQuestion, parsePort } from "./port.ts";

/** A connection somebody asks about: of the policies (`weft policy matrix`), or of the running lab (`weft lab probe`). */
export interface Question {
  /** `namespace/pod` (a workload's name stands for its pods), `node:NAME`, or an address. */
  readonly from: string;
  /** The same, or `namespace/service` (`service:namespace/name` where a workload has the name too). */
  readonly to: string;
  readonly port: PortQuestion;
}

const protocols = ["TCP", "UDP", "SCTP", "ICMP", "ICMPv6"];

/**
 * Reads a list of `{"from", "to", "port", "protocol"}`: a JSON array, or one object a line. Without a protocol it is TCP; ICMP is an echo
 * request and has no port.
 * @param name of the file, for messages
 * @throws WeftError E_QUESTION naming the entry and field
 */
export function parseQuestions(text: string, name: string): Question[] {
  const list = parseJsonList(text, name, "E_QUESTION");
  return list.map((entry, i) => checkQuestion(entry, `${name}, question ${i + 1}`));
}

function checkQuestion(entry: unknown, where: string): Question {
  const fail = (field: string, problem: string) =>
    new WeftError("E_QUESTION", `${where}: ${field}: ${problem}`);
  if (typeof entry !== "object" || entry === null) throw fail("question", "not an object");
  const { from, to, port, protocol = "TCP", ...rest } = entry as Record<string, unknown>;
  const unknown = Object.keys(rest)[0];
  if (unknown) throw fail(unknown, "unknown field");
  if (!isSide(from, /^([^/]+\/[^/]+|node:[^/]+)$/))
    throw fail("from", 'must be "namespace/pod", "node:NAME" or an address');
  if (!isSide(to, /^([^/]+\/[^/]+|node:[^/]+)$/))
    throw fail("to", 'must be "namespace/pod", "namespace/service", "node:NAME" or an address');
  if (typeof protocol !== "string" || !protocols.includes(protocol))
    throw fail("protocol", `must be one of ${protocols.join(", ")}`);
  if (protocol.startsWith("ICMP")) return { from, to, port: parsePort(protocol) };
  if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535)
    throw fail("port", `${JSON.stringify(port)} is not a port`);
  return { from, to, port: parsePort(`${port}/${protocol}`) };
}

function isSide(text: unknown, form: RegExp): text is string {
  return typeof text === "string" && (form.test(text) || isAddress(text));
}
