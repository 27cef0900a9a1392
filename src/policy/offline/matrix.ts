// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import type { Address } from "#model/ip.ts";
import { type PortQuestion, protocolName } from "#model/port.ts";
import type { Question } from "#model/questions.ts";
import { type Answer, ask } from "./ask.ts";
import type { End } from "./end.ts";
import { findParties, type Party } from "./ends.ts";
import type { Judge } from "./judge.ts";
import { partyText } from "./text.ts";

/** One answer in the form of `weft lab probe -o json`; `ms` is 0: nothing was sent. */
export interface TruthRow {
  readonly from: {
    readonly namespace: string;
    readonly workload: string;
    /** "": an address. */
    readonly pod: string;
    readonly ip?: string;
    /** Of a node's own process. */
    readonly node?: string;
  };
  readonly to: {
    readonly namespace: string;
    readonly service: string;
    readonly pod: string;
    readonly node?: string;
    /** "": the manifests do not say. */
    readonly ip: string;
    /** 0 for ICMP. */
    readonly port: number;
    readonly protocol: string;
  };
  readonly via: "service" | "pod";
  readonly verdict: "allow" | "deny";
  readonly ms: number;
}

/** A row with where it comes from. */
export interface Truth {
  readonly row: TruthRow;
  readonly from: End;
  readonly to: Party;
  readonly answer: Answer;
}

export interface MatrixOptions {
  /** Only from and to these; default: all but kube-system. */
  readonly namespaces?: readonly string[];
  /** Also every pod behind a service by itself. */
  readonly pods?: boolean;
  /** Also nodes, as sources and, where ports are given, as targets. */
  readonly nodes?: boolean;
  /** These ports of every pod, instead of the services' ports. */
  readonly ports?: readonly PortQuestion[];
  /** Addresses outside: from them to pods, and from pods to them. */
  readonly externals?: readonly Address[];
}

const system = "kube-system";
/** What pods are asked for outside when no port is given. */
const usualOutside: readonly PortQuestion[] = [
  { port: 80, proto: 6 },
  { port: 443, proto: 6 },
];

/** What fits into memory and is worked out in a minute or two. */
const maxAnswers = 1_000_000;

/** {@link truths}, all at once: what compares tables needs them whole. */
export function truthTable(judge: Judge, options: MatrixOptions): Truth[] {
  return [...truths(judge, options)];
}

/**
 * Who can reach what: from one pod of every workload, in the order of `weft lab probe`. Worked out one by one as they are taken.
 * @throws WeftError E_TOO_MANY, at once, for more than a million answers
 */
export function truths(judge: Judge, options: MatrixOptions): Iterable<Truth> {
  const { cluster } = judge;
  const wanted = (namespace: string) =>
    options.namespaces ? options.namespaces.includes(namespace) : namespace !== system;
  const pods = cluster.pods.filter(({ namespace }) => wanted(namespace));
  const sources = [...new Map([...pods].reverse().map((pod) => [`${pod.namespace}/${pod.workload}`, pod]))]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, pod]): End => ({ kind: "pod", pod }));
  const nodes = (options.nodes ? cluster.nodes : []).map((node): End => ({ kind: "node", node }));
  const outside = (options.externals ?? []).map((address): End => ({ kind: "address", address }));
  const targets = options.ports
    ? endTargets([...pods.map((pod): End => ({ kind: "pod", pod })), ...nodes], options.ports)
    : serviceTargets(judge, options, wanted);
  const direct = options.ports ? targets : serviceTargets(judge, { ...options, direct: true }, wanted);
  const away = outside.flatMap((to) => (options.ports ?? usualOutside).map((port) => ({ to, port })));
  const inside = [...sources, ...nodes];
  checkSize(inside.length * (targets.length + away.length) + outside.length * direct.length);
  return eachOf(judge, [
    { sources: inside, targets: [...targets, ...away] },
    { sources: outside, targets: direct },
  ]);
}

interface Block {
  readonly sources: readonly End[];
  readonly targets: readonly Target[];
}

function* eachOf(judge: Judge, blocks: readonly Block[]): Generator<Truth> {
  for (const { sources, targets } of blocks)
    for (const from of sources) for (const target of targets) yield truthOf(judge, from, target);
}

function checkSize(answers: number): void {
  if (answers <= maxAnswers) return;
  throw new WeftError("E_TOO_MANY", `the table would have ${answers.toLocaleString("en")} answers`, {
    hint: "narrow it with -n, fewer --port, or a list of --questions",
  });
}

/** The answers to a list of questions, one each, in their order. @throws WeftError E_QUESTION */
export function truthOfQuestions(judge: Judge, questions: readonly Question[]): Truth[] {
  const find = (text: string, where: string): Party => {
    try {
      return findParties(judge.cluster, text, judge.cluster.settings.namespace)[0]!;
    } catch (thrown) {
      if (!(thrown instanceof WeftError)) throw thrown;
      throw new WeftError(
        thrown.code,
        `${where}: ${thrown.message}`,
        thrown.hint ? { hint: thrown.hint } : {},
      );
    }
  };
  return questions.map((question, i) => {
    const from = find(question.from, `question ${i + 1}: from`);
    const to = find(question.to, `question ${i + 1}: to`);
    if (from.kind === "service")
      throw new WeftError(
        "E_QUESTION",
        `question ${i + 1}: from: ${question.from} is a service, which asks nobody`,
      );
    return truthOf(judge, from, { to, port: question.port });
  });
}

export interface Target {
  readonly to: Party;
  readonly port: PortQuestion;
  /** The service whose backend it is. */
  readonly service?: string;
}

function endTargets(ends: readonly End[], ports: readonly PortQuestion[]): Target[] {
  return ends.flatMap((to) => ports.map((port) => ({ to, port })));
}

function serviceTargets(
  { cluster }: Judge,
  options: MatrixOptions & { readonly direct?: boolean },
  wanted: (namespace: string) => boolean,
): Target[] {
  const out: Target[] = [];
  for (const service of cluster.services) {
    const { namespace, name, headless, ports } = service;
    if (!wanted(namespace) || (namespace === "default" && name === "kubernetes")) continue;
    for (const { port, proto, backends } of ports) {
      if (!headless && !options.direct) out.push({ to: { kind: "service", service }, port: { port, proto } });
      if (!headless && !options.direct && !options.pods) continue;
      for (const backend of backends) {
        if (!backend.pod) continue;
        out.push({
          to: { kind: "pod", pod: backend.pod },
          port: { port: backend.port, proto },
          service: name,
        });
      }
    }
  }
  return out;
}

/** One question's row. */
export function truthOf(judge: Judge, from: End, { to, port, service = "" }: Target): Truth {
  const answer = ask(judge, from, to, port);
  const protocol = protocolName(port.proto);
  const number = protocol.startsWith("ICMP") ? 0 : port.port;
  const row: TruthRow = {
    from: sourceOf(from),
    to: { ...targetOf(to, service), port: number, protocol: protocol === "ICMPv6" ? "ICMP" : protocol },
    via: answer.via,
    verdict: answer.verdict,
    ms: 0,
  };
  return { row, from, to, answer };
}

function sourceOf(end: End): TruthRow["from"] {
  if (end.kind === "pod") {
    const { namespace, workload, name } = end.pod;
    return { namespace, workload, pod: name };
  }
  return { namespace: "", workload: "", pod: "", ip: addressText(end), ...nodeName(end) };
}

function nodeName(end: End): { readonly node?: string } {
  return end.kind === "node" ? { node: end.node.name } : {};
}

function targetOf(to: Party, service: string): Omit<TruthRow["to"], "port" | "protocol"> {
  if (to.kind === "service") {
    const { namespace, name, addresses } = to.service;
    return { namespace, service: name, pod: "", ip: addresses[0] ?? "" };
  }
  if (to.kind === "pod")
    return { namespace: to.pod.namespace, service, pod: to.pod.name, ip: to.pod.addresses[0] ?? "" };
  return { namespace: "", service: "", pod: "", ip: addressText(to), ...nodeName(to) };
}

/** What there is of it where the manifests tell no address: a name. */
function addressText(end: Exclude<End, { readonly kind: "pod" }>): string {
  if (end.kind === "node") return end.address ?? end.node.addresses[0] ?? partyText(end);
  return end.kind === "address" ? end.address : end.name;
}
