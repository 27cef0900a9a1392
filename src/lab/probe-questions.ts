// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import { type Address, family, isAddress, parseAddress } from "#model/ip.ts";
import type { Pod } from "./objects.ts";
import type { Attempt, Protocol } from "./probe.ts";
import { backendPods, type ClusterView, isRunning, sourceOf } from "./probe-matrix.ts";
import { workloadOf } from "./status.ts";

export interface Question {
  /** `namespace/pod`; a workload's name stands for one of its pods. */
  readonly from: string;
  /** `namespace/pod`, `namespace/service`, or an address. */
  readonly to: string;
  /** 0 for ICMP. */
  readonly port: number;
  readonly protocol: Protocol;
}

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
  const { to, port, protocol } = question;
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
  const pod = findPod(view, to);
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
    throw new WeftError("E_QUESTION", `question ${number}: to: there is no running pod ${to}`);
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
