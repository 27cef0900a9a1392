// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import { type Address, family, isAddress, parseAddress } from "#model/ip.ts";
import { type PortQuestion, portText, protocolName } from "#model/port.ts";
import type { Question } from "#model/questions.ts";
import type { NodeObject, Pod } from "./objects.ts";
import type { Attempt, ClusterView, ProbeRow, Protocol } from "./probe-attempt.ts";
import { backendPods, isRunning, sourceOf } from "./probe-matrix.ts";
import { workloadOf } from "./status.ts";

/** The attempts that answer the questions, one each, in their order. Pure. @throws WeftError E_QUESTION */
export function questionAttempts(view: ClusterView, questions: readonly Question[]): Attempt[] {
  return questions.map((question, i) => {
    const fail: Fail = (field, problem) =>
      new WeftError("E_QUESTION", `question ${i + 1}: ${field}: ${problem}`);
    const { addresses, ...from } = sender(view, question.from, fail);
    const attempt = { ...from, ...target(view, question, { families: addresses.map(family), fail }) };
    if (attempt.source && !nodeAddresses(view.nodes).some((address) => address === attempt.to.ip))
      throw fail("to", "from outside only a node's address can be reached: ask for one, with a NodePort");
    return attempt;
  });
}

type Fail = (field: string, problem: string) => WeftError;
type Sender = Pick<Attempt, "from" | "node" | "source"> & { readonly addresses: readonly Address[] };

/** A pod, a node, or, by an address that is nobody's here, the world. */
function sender(view: ClusterView, text: string, fail: Fail): Sender {
  const pod = isAddress(text) ? podAt(view, parseAddress(text)) : findPod(view, text);
  if (pod) return { ...sourceOf(pod), addresses: podAddresses(pod) };
  const node = findNode(view, text);
  const nobody = { namespace: "", workload: "", pod: "" };
  if (node) {
    const addresses = nodeAddresses([node]);
    const ip = isAddress(text) ? parseAddress(text) : (addresses[0] ?? "");
    const { name } = node.metadata;
    return { from: { ...nobody, ip, node: name }, node: name, addresses };
  }
  if (!isAddress(text)) throw fail("from", `there is no running ${whatIs(text)}`);
  const source = parseAddress(text);
  return { from: { ...nobody, ip: source }, node: "", source, addresses: [source] };
}

function whatIs(text: string): string {
  return text.startsWith("node:") ? `node ${text.slice("node:".length)}` : `pod ${text}`;
}

function podAddresses(pod: Pod): Address[] {
  return (pod.status?.podIPs ?? []).map(({ ip }) => parseAddress(ip));
}

function podAt(view: ClusterView, address: Address): Pod | undefined {
  return view.pods.find(
    (pod) => isRunning(pod) && !pod.spec.hostNetwork && podAddresses(pod).includes(address),
  );
}

/** By `node:NAME`, or by one of its addresses. */
function findNode({ nodes }: ClusterView, text: string): NodeObject | undefined {
  return nodes.find((node) =>
    isAddress(text)
      ? nodeAddresses([node]).includes(parseAddress(text))
      : text === `node:${node.metadata.name}`,
  );
}

function nodeAddresses(nodes: readonly NodeObject[]): Address[] {
  const all = nodes.flatMap(({ status }) => status?.addresses ?? []);
  return all
    .map(({ address }) => address)
    .filter(isAddress)
    .map(parseAddress);
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
  { to: text, port: asked }: Question,
  { families, fail }: { readonly families: readonly (4 | 6)[]; readonly fail: Fail },
): Target {
  const port = portOf(asked, fail);
  const to = text.replace(/^service:/, "");
  const ofPod = { service: "", ...port };
  const node = findNode(view, to);
  if (isAddress(to) || node) {
    const ip = isAddress(to) ? parseAddress(to) : sameFamily(families, nodeAddresses(node ? [node] : []));
    const named = node && { node: node.metadata.name };
    return { to: { namespace: "", pod: "", ...named, ...ofPod, ip }, via: "pod", unbacked: false };
  }
  const namespace = to.slice(0, to.indexOf("/"));
  const pod = text === to ? findPod(view, to) : undefined;
  if (pod) {
    const ip = sameFamily(families, podAddresses(pod));
    return { to: { namespace, pod: pod.metadata.name, ...ofPod, ip }, via: "pod", unbacked: false };
  }
  const service = view.services.find((one) => `${one.metadata.namespace}/${one.metadata.name}` === to);
  const addresses = service?.spec.clusterIPs?.filter(isAddress).map(parseAddress) ?? [];
  if (!service || addresses.length === 0)
    throw fail(
      "to",
      `there is no ${text === to ? `running ${whatIs(to)}` : `service ${to} with an address`}`,
    );
  const unbacked = backendPods(view, service).length === 0;
  const { name } = service.metadata;
  const ip = sameFamily(families, addresses);
  return { to: { namespace, service: name, pod: "", ip, ...port }, via: "service", unbacked };
}

const probed: readonly string[] = ["TCP", "UDP", "SCTP", "ICMP"] satisfies Protocol[];

/** An echo request of either family is ICMP; of other types there is no attempt. */
function portOf(asked: PortQuestion, fail: Fail): Pick<ProbeRow["to"], "port" | "protocol"> {
  const protocol = protocolName(asked.proto).replace("ICMPv6", "ICMP");
  if (!probed.includes(protocol)) throw fail("protocol", `the lab makes no attempts of ${portText(asked)}`);
  if (protocol === "ICMP" && portText(asked).includes("/"))
    throw fail("port", `the lab sends echo requests only, not ${portText(asked)}`);
  return { protocol: protocol as Protocol, port: protocol === "ICMP" ? 0 : asked.port };
}

/** The first of the addresses the asking side has a family for. */
function sameFamily(families: readonly (4 | 6)[], addresses: readonly Address[]): string {
  return addresses.find((one) => families.includes(family(one))) ?? addresses[0] ?? "";
}
