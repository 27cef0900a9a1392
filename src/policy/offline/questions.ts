// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import { parseJsonList } from "#lib/json-list.ts";
import { isAddress } from "#model/ip.ts";
import { type PortQuestion, parsePort } from "./ports.ts";

/** A connection somebody asks about, as `weft lab probe --questions` takes it. */
export interface ListedQuestion {
  /** `namespace/pod` (a workload's name stands for its pods), or an address. */
  readonly from: string;
  /** `namespace/pod`, `namespace/service`, or an address. */
  readonly to: string;
  readonly ask: PortQuestion;
}

const protocols = ["TCP", "UDP", "SCTP", "ICMP", "ICMPv6"];

/** Reads questions: a JSON array, or one object a line. @throws WeftError E_QUESTION naming the entry and field */
export function parseQuestionList(text: string, name: string): ListedQuestion[] {
  const list = parseJsonList(text, name, "E_QUESTION");
  return list.map((entry, i) => checkQuestion(entry, `${name}, question ${i + 1}`));
}

function checkQuestion(entry: unknown, where: string): ListedQuestion {
  const fail = (field: string, problem: string) =>
    new WeftError("E_QUESTION", `${where}: ${field}: ${problem}`);
  if (typeof entry !== "object" || entry === null) throw fail("question", "not an object");
  const { from, to, port, protocol = "TCP", ...rest } = entry as Record<string, unknown>;
  const unknown = Object.keys(rest)[0];
  if (unknown) throw fail(unknown, "unknown field");
  for (const [field, side] of [
    ["from", from],
    ["to", to],
  ] as const) {
    if (typeof side !== "string" || !(/^[^/]+\/[^/]+$/.test(side) || isAddress(side)))
      throw fail(field, 'must be "namespace/pod" or an address');
  }
  if (typeof protocol !== "string" || !protocols.includes(protocol))
    throw fail("protocol", `must be one of ${protocols.join(", ")}`);
  const icmp = protocol.startsWith("ICMP");
  if (!icmp && (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535))
    throw fail("port", `${JSON.stringify(port)} is not a port`);
  return { from: from as string, to: to as string, ask: parsePort(icmp ? protocol : `${port}/${protocol}`) };
}
