// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import { parseJsonList } from "#lib/json-list.ts";
import { type Address, family, isAddress, parseAddress } from "#model/ip.ts";
import type { Pod } from "./objects.ts";
import type { Attempt, ClusterView, Question } from "./probe-attempt.ts";
import { backendPods, isRunning, sourceOf } from "./probe-matrix.ts";
import { workloadOf } from "./status.ts";

/** The attempts that answer the questions, one each, in their order. Pure. @throws WeftError E_QUESTION */
export function questionAttempts(view: ClusterView, questions: readonly Question[]): Attempt[] {
  return questions.map((question, i) => {
    const from = findPod(view, question.from);
    if (!from)
      throw new WeftError("E_QUESTION", `question ${i + 1}: from: there is no running pod ${question.from}`);
    return { ...sourceOf(from), ...target(view, question, { from, number: i + 1 }) };
  });
}

function findPod(view: ClusterView, name: string): Pod | undefined {
  const slash = name.indexOf("/");
  const [namespace, pod] = [name.slice(0, slash), name.slice(slash + 1)];
  const here = view.pods.filter((one) => one.metadata.namespace === namespace && isRunning(one));
  return here.find((one) => one.metadata.name === pod) ?? here.find((one) => workloadOf(one) === pod);
}

type Target = Pick<Attempt, "to" | "via" | "unbacked">;

function target(
  view: ClusterView,
  question: Question,
  { from, number }: { from: Pod; number: number },
): Target {
  const { port, protocol } = question;
  const asService = question.to.startsWith("service:");
  const to = question.to.replace(/^service:/, "");
  if (!to.includes("/")) {
    if (!isAddress(to))
      throw new WeftError(
        "E_QUESTION",
        `question ${number}: to: "${to}" is neither namespace/pod nor an address`,
      );
    return {
      to: { namespace: "", service: "", pod: "", ip: parseAddress(to), port, protocol },
      via: "pod",
      unbacked: false,
    };
  }
  const namespace = to.slice(0, to.indexOf("/"));
  const pod = asService ? undefined : findPod(view, to);
  if (pod) {
    const ip = sameFamily(
      from,
      (pod.status?.podIPs ?? []).map((one) => one.ip),
    );
    return {
      to: { namespace, service: "", pod: pod.metadata.name, ip, port, protocol },
      via: "pod",
      unbacked: false,
    };
  }
  const service = view.services.find((one) => `${one.metadata.namespace}/${one.metadata.name}` === to);
  const addresses = service?.spec.clusterIPs?.filter((one) => one !== "None") ?? [];
  if (!service || addresses.length === 0)
    throw new WeftError(
      "E_QUESTION",
      `question ${number}: to: there is no ${asService ? "service" : "running pod"} ${to}`,
    );
  const unbacked = backendPods(view, service).length === 0;
  return {
    to: {
      namespace,
      service: service.metadata.name,
      pod: "",
      ip: sameFamily(from, addresses),
      port,
      protocol,
    },
    via: "service",
    unbacked,
  };
}

/** The first of the addresses the asking pod has a family for. */
function sameFamily(from: Pod, addresses: readonly string[]): string {
  const own = new Set((from.status?.podIPs ?? []).map(({ ip }) => family(ip as Address)));
  return addresses.find((one) => own.has(family(one as Address))) ?? addresses[0] ?? "";
}

/** Reads questions (a JSON array, or one object a line). @throws WeftError E_QUESTION naming the entry and field */
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
  if (typeof from !== "string" || !/^[^/]+\/[^/]+$/.test(from)) throw fail("from", 'must be "namespace/pod"');
  if (typeof to !== "string" || to === "") throw fail("to", 'must be "namespace/pod" or an address');
  if (protocol !== "TCP" && protocol !== "UDP" && protocol !== "ICMP")
    throw fail("protocol", "must be TCP, UDP or ICMP");
  if (protocol === "ICMP") return { from, to, port: 0, protocol };
  if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535)
    throw fail("port", `${JSON.stringify(port)} is not a port`);
  return { from, to, port, protocol };
}
