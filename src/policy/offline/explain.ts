// SPDX-License-Identifier: Apache-2.0
import { labelList } from "#model/labels.ts";
import { type PortQuestion, portText } from "#model/port.ts";
import { plainEntry } from "../entry.ts";
import { peerMatches } from "../peer.ts";
import { policyKey } from "../policy-key.ts";
import type { NamedPort, PolicyEntry, PortRange, Rule, RuleOrigin } from "../rule.ts";
import { originText } from "../rule-ids.ts";
import type { Answer } from "./ask.ts";
import type { End } from "./end.ts";
import type { Party } from "./ends.ts";
import { isPod } from "./engine.ts";
import { type Change, smallestChange } from "./fix.ts";
import type { DirectionJudgement, Judge, Judgement, Reason } from "./judge.ts";
import { namedPorts } from "./pods.ts";
import { entryText, partyText, placeText, ruleText } from "./text.ts";

/** Why a connection is allowed or denied, step by step; also what `weft explain -o json` prints. */
export interface Explanation {
  readonly from: string;
  readonly to: string;
  readonly port: string;
  readonly verdict: "allow" | "deny";
  /** What is no policy's doing. */
  readonly notes: readonly string[];
  /** One, or one for each backend of a service. */
  readonly paths: readonly ExplainedPath[];
  /** For a denial: what to apply so that it is allowed; none where nothing would do. */
  readonly change: readonly Change[];
}

export interface ExplainedPath {
  readonly from: ExplainedEnd;
  readonly to: ExplainedEnd;
  readonly port: string;
  readonly verdict: "allow" | "deny";
  readonly egress: ExplainedDirection;
  readonly ingress: ExplainedDirection;
}

export interface ExplainedEnd {
  readonly name: string;
  readonly identity: number;
  readonly labels: readonly string[];
}

export interface ExplainedDirection {
  readonly verdict: "allow" | "deny";
  readonly reason: Reason;
  /** One sentence. */
  readonly text: string;
  /** Policy objects with rules of this direction that select the endpoint. */
  readonly selectedBy: readonly string[];
  /** The map entry that matched. */
  readonly entry?: PolicyEntry & { readonly text: string };
  readonly decidedBy: readonly ExplainedOrigin[];
  readonly considered: readonly ConsideredRule[];
}

export interface ExplainedOrigin extends RuleOrigin {
  readonly text: string;
}

export interface ConsideredRule {
  readonly rule: string;
  readonly says: string;
  readonly peerMatches: boolean;
  readonly portMatches: boolean;
  /** It is one of those that decided. */
  readonly decides: boolean;
  /** Why not, of one that did not decide. */
  readonly why?: string;
}

export interface Asked {
  readonly from: Party;
  readonly to: Party;
  readonly port: PortQuestion;
}

/** Tells of an answer how it came about. */
export function explain(judge: Judge, asked: Asked, answer: Answer): Explanation {
  const denied = answer.paths.find(({ verdict }) => verdict === "deny");
  return {
    from: partyText(asked.from),
    to: partyText(asked.to),
    port: portText(asked.port),
    verdict: answer.verdict,
    notes: notesOf(judge, asked, answer),
    paths: answer.paths.map((path) => explainPath(judge, path)),
    change: denied ? smallestChange(judge, denied) : [],
  };
}

function notesOf({ cluster }: Judge, { to }: Asked, { note, paths }: Answer): string[] {
  const notes = note === undefined ? [] : [note];
  if (to.kind === "service" && paths.length > 0) {
    const ports = [...new Set(paths.map(portText))].join(", ");
    notes.push(
      `${partyText(to)} is judged by its backends, at their port (${ports}): policy never sees the service's own address`,
    );
  }
  const blocks = paths.some(({ egress, ingress }) =>
    [...egress.selecting, ...ingress.selecting].some(({ peers }) =>
      peers?.some(({ kind }) => kind === "block"),
    ),
  );
  const placeless = paths.some(({ from, to: end }) =>
    [from, end].some((one) => one.kind === "pod" && one.pod.addresses.length === 0),
  );
  if (blocks && placeless)
    notes.push(
      "ipBlock rules also mean pods by their addresses, which manifests do not tell: taken as outside of every block",
    );
  for (const { key, row } of cluster.policies) {
    if (!row.refused) continue;
    const { message } = row.refused;
    notes.push(
      `not in force, since refused: ${message.startsWith(row.kind) ? message : `${key}: ${message}`}`,
    );
  }
  return notes;
}

function explainPath(judge: Judge, path: Judgement): ExplainedPath {
  const end = (one: End, other: End): ExplainedEnd => {
    const identity = judge.identityOf(one, other);
    return { name: partyText(one), identity, labels: labelList(judge.labelsOf(identity)) };
  };
  return {
    from: end(path.from, path.to),
    to: end(path.to, path.from),
    port: portText(path),
    verdict: path.verdict,
    egress: explainDirection(judge, path, "egress"),
    ingress: explainDirection(judge, path, "ingress"),
  };
}

function explainDirection(
  judge: Judge,
  path: Judgement,
  direction: "egress" | "ingress",
): ExplainedDirection {
  const side = path[direction];
  const { verdict, reason, entry, decidedBy, selecting } = side;
  const deciding = new Set(decidedBy.map(originText));
  return {
    verdict,
    reason,
    text: reasonText(side, path),
    selectedBy: [...new Set(selecting.map(({ origin }) => policyKey(origin)))],
    ...(entry && { entry: { ...plainEntry(entry), text: entryText(entry) } }),
    decidedBy: decidedBy.map((origin) => ({ ...origin, text: placeText(origin) })),
    considered: selecting.map((rule) => consider(judge, path, side, rule, deciding)),
  };
}

/** Why a side says what it says, in one sentence. */
export function reasonText(side: DirectionJudgement, path: Judgement): string {
  const { direction, reason, verdict, decidedBy } = side;
  const own = partyText(direction === "egress" ? path.from : path.to);
  const by = decidedBy.map(placeText).join(" + ");
  switch (reason) {
    case "rule":
      if (decidedBy.some(({ kind }) => kind === "Implicit"))
        return "allowed: the node a pod runs on may always reach it";
      return `${verdict === "deny" ? "denied" : "allowed"} by ${by}`;
    case "default-deny":
      return `default deny: nothing matched${by === "" ? "" : `; isolated by ${by}`}`;
    case "audit":
      return `allowed, since audited: would be denied${by === "" ? "" : ` by ${by}`}`;
    case "open":
      return "allowed: no rule matched, and no policy isolates it in this direction";
    case "no-policy":
      return `allowed: no policy selects ${own} in this direction`;
    case "no-endpoint":
      return `not judged: ${own} is ${nobodyText(direction === "egress" ? path.from : path.to)}`;
    case "own-node":
      return `not judged: what ${own} sends its own pods is judged by their ingress alone`;
    case "itself":
      return side.subject && isPod(side.subject)
        ? "allowed: a pod is never denied itself"
        : "not judged: it never leaves the node";
  }
}

function nobodyText(end: End): string {
  switch (end.kind) {
    case "address":
      return "outside the cluster";
    case "node":
      return "a node, and the host firewall is off";
    case "pod":
      return "in its node's network, and the host firewall is off";
    case "reserved":
      return "nobody that policies select";
  }
}

function consider(
  judge: Judge,
  path: Judgement,
  side: DirectionJudgement,
  rule: Rule,
  deciding: ReadonlySet<string>,
): ConsideredRule {
  const labels = [side.identity, ...(side.block === undefined ? [] : [side.block])].map(judge.labelsOf);
  const peer = rule.peers?.some((one) => labels.some((own) => peerMatches(one, own))) ?? true;
  const destination = path.to.kind === "pod" ? namedPorts(path.to.pod) : [];
  const port = rule.ports?.some((range) => portMatches(range, path, destination)) ?? true;
  const decides =
    (side.reason === "rule" || side.reason === "audit") && deciding.has(originText(rule.origin));
  const misses = [...(peer ? [] : ["not this peer"]), ...(port ? [] : ["not this port"])];
  const why = misses.length > 0 ? misses.join(", ") : "another rule comes first";
  return {
    rule: placeText(rule.origin),
    says: ruleText(rule),
    peerMatches: peer,
    portMatches: port,
    decides,
    ...(!decides && { why }),
  };
}

const withPorts = new Set([6, 17, 132]);

function portMatches(range: PortRange, asked: PortQuestion, destination: readonly NamedPort[]): boolean {
  const { name, proto, first, last } = range;
  if (name !== undefined)
    return destination.some(
      (port) => port.name === name && port.port === asked.port && port.proto === asked.proto,
    );
  const whole = first === 0 && last === 65_535;
  if (proto !== asked.proto && !(proto === 0 && (whole || withPorts.has(asked.proto)))) return false;
  return asked.port >= first && asked.port <= last;
}
