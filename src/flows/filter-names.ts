// SPDX-License-Identifier: Apache-2.0
import type { Workload } from "#api/gen/flow/flow_pb.ts";
import { FlowEventOffset } from "#datapath/layouts/flow-event.ts";
import { WeftError } from "#lib/errors.ts";
import { parseLabelSelector } from "#model/selector-text.ts";
import type { Directory } from "./directory.ts";
import type { Match } from "./match.ts";
import { namePattern, nodePattern } from "./name-pattern.ts";
import { SlotField } from "./record.ts";

interface NamePrefix {
  readonly namespace: string;
  readonly prefix: string;
}

/**
 * `[namespace/]name-prefix`; without a slash the namespace is "default", with nothing before it any namespace;
 * nothing after it means every name.
 */
function parseName(text: string, field: string): NamePrefix {
  const slash = text.indexOf("/");
  if (text === "" || text === "/" || text.indexOf("/", slash + 1) > 0) {
    if (text === "/") return { namespace: "", prefix: "" };
    throw new WeftError("E_FILTER", `${field}: "${text}" is not [namespace/]name`);
  }
  return slash < 0
    ? { namespace: "default", prefix: text }
    : { namespace: text.slice(0, slash), prefix: text.slice(slash + 1) };
}

function matches({ namespace, prefix }: NamePrefix, ofNamespace: string, name: string): boolean {
  return (namespace === "" || namespace === ofNamespace) && name.startsWith(prefix);
}

export function podMatch(
  values: readonly string[],
  field: string,
  at: "srcParty" | "dstParty",
  directory: Directory,
): Match {
  const names = values.map((text) => parseName(text, field));
  const offset = SlotField[at];
  return (record) => {
    const party = directory.party(record.u32(offset));
    return party !== undefined && names.some((name) => matches(name, party.namespace, party.pod));
  };
}

export function serviceMatch(
  values: readonly string[],
  field: string,
  at: "srcService" | "dstService",
  directory: Directory,
): Match {
  const names = values.map((text) => parseName(text, field));
  const offset = SlotField[at];
  return (record) => {
    const service = directory.service(record.u32(offset));
    return service !== undefined && names.some((name) => matches(name, service.namespace, service.name));
  };
}

export function workloadMatch(
  values: readonly Workload[],
  at: "srcParty" | "dstParty",
  directory: Directory,
): Match {
  const offset = SlotField[at];
  return (record) => {
    const workloads = directory.party(record.u32(offset))?.workloads ?? [];
    return workloads.some(({ kind, name }) =>
      values.some(
        (wanted) =>
          (wanted.kind === "" || wanted.kind === kind) && (wanted.name === "" || wanted.name === name),
      ),
    );
  };
}

/** Label selectors: each is a conjunction, several are alternatives. The answer of an identity is kept: its labels do not change. */
export function labelMatch(
  values: readonly string[],
  field: string,
  at: "srcIdentity" | "dstIdentity",
  directory: Directory,
): Match {
  const selectors = values.map((text) => parseLabelSelector(text, field));
  const offset = FlowEventOffset[at];
  const answers = new Map<readonly string[], boolean>();
  return (record) => {
    const labels = directory.labels(record.u32(offset));
    let answer = answers.get(labels);
    if (answer === undefined) {
      answer = selectors.some((selects) => selects(labels));
      if (labels.length > 0) answers.set(labels, answer);
    }
    return answer;
  };
}

export function nodeLabelMatch(values: readonly string[], directory: Directory): Match {
  const selectors = values.map((text) => parseLabelSelector(text, "node_labels"));
  return () => selectors.some((selects) => selects(directory.nodeLabels));
}

export function clusterMatch(
  values: readonly string[],
  field: string,
  at: "srcParty" | "dstParty",
  cluster: string,
): Match {
  const pattern = namePattern(values, field);
  const offset = SlotField[at];
  return (record) => record.u32(offset) !== 0 && pattern.test(cluster);
}

export function nodeNameMatch(values: readonly string[], nodeName: string): Match {
  const answer = nodePattern(values, "node_name").test(nodeName);
  return () => answer;
}

/** No flow carries a domain name yet (that takes the DNS proxy), so a valid pattern matches nothing. */
export function fqdnMatch(values: readonly string[], field: string): Match {
  namePattern(values, field);
  return () => false;
}
