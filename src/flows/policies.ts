// SPDX-License-Identifier: Apache-2.0
import { create } from "@bufbuild/protobuf";
import { type Flow, type Policy, PolicySchema } from "#api/gen/flow/flow_pb.ts";
import { EventFlag, EventType } from "#datapath/layouts/enums.ts";
import { FlowEventOffset } from "#datapath/layouts/flow-event.ts";
import type { Directory } from "./directory.ts";
import type { PolicyOrigin } from "./messages.ts";
import type { RecordCursor } from "./record.ts";

/**
 * Fills which policies let the flow through or stopped it. A drop by policy carries the rule of the direction that denied
 * and, when the other direction was judged before, the rule that allowed it there; a new flow those that allowed it.
 */
export function addPolicies(flow: Flow, record: RecordCursor, directory: Directory): void {
  const denied = deniedDirection(record);
  const silent = (direction: "egress" | "ingress", policies: readonly Policy[]) => {
    const said = silence(direction, { record, denied: denied === direction, policies });
    if (said !== undefined) flow.policyLog.push(said);
  };
  const egress = record.has(EventFlag.egressJudged) || denied === "egress";
  const ingress = record.has(EventFlag.ingressJudged) || denied === "ingress";
  if (egress) {
    const origins = directory.origins(record.u32(FlowEventOffset.egressRule));
    const policies = policiesOf(origins);
    flow.policyLog.push(...logOf(origins));
    if (denied === "egress") flow.egressDeniedBy = policies;
    else flow.egressAllowedBy = policies;
    silent("egress", policies);
  }
  if (ingress) {
    const origins = directory.origins(record.u32(FlowEventOffset.ingressRule));
    const policies = policiesOf(origins);
    flow.policyLog.push(...logOf(origins).filter((text) => !flow.policyLog.includes(text)));
    if (denied === "ingress") flow.ingressDeniedBy = policies;
    else flow.ingressAllowedBy = policies;
    silent("ingress", policies);
  }
}

/** What the flow says where no rule decided: `ingress: no policy selects`, `egress: default deny: nothing matched`. */
function silence(
  direction: "egress" | "ingress",
  judged: { readonly record: RecordCursor; readonly denied: boolean; readonly policies: readonly Policy[] },
): string | undefined {
  const { record, denied, policies } = judged;
  const rule = record.u32(direction === "egress" ? FlowEventOffset.egressRule : FlowEventOffset.ingressRule);
  if (denied) {
    if (record.u8(FlowEventOffset.reason) === deniedByRule) return undefined;
    const fields = policies.some(({ labels }) => labels.some((label) => label.startsWith(ruleLabel)));
    return fields ? undefined : `${direction}: default deny: nothing matched`;
  }
  return rule === 0 ? `${direction}: no policy selects` : undefined;
}

const deniedByRule = 181;

/** Drop reasons that are a policy's verdict: nothing allowed it; a rule denied it. */
export const deniedReasons: ReadonlySet<number> = new Set([133, deniedByRule]);

/** Direction whose policy said no (or, audited, would have); undefined when it was not a policy. */
function deniedDirection(record: RecordCursor): "egress" | "ingress" | undefined {
  const audited = record.has(EventFlag.audit);
  if (record.type !== EventType.drop && !audited) return undefined;
  const reason = record.u8(FlowEventOffset.reason);
  if (!audited && !deniedReasons.has(reason)) return undefined;
  return record.has(EventFlag.ingress) ? "ingress" : "egress";
}

function logOf(origins: readonly PolicyOrigin[]): string[] {
  return [...new Set(origins.flatMap(({ log }) => log))];
}

const ruleLabel = "weft:rule=";
const prefix = "k8s:io.cilium.k8s.policy.";

/** The labels Cilium gives a rule made of a Kubernetes object, and where in it the rules stand. */
function policiesOf(origins: readonly PolicyOrigin[]): Policy[] {
  return origins.map(({ kind, namespace, name, uid, fields, ruleNames, sources, labels }) =>
    create(PolicySchema, {
      name,
      namespace,
      kind,
      labels: [
        `${prefix}derived-from=${kind}`,
        `${prefix}name=${name}`,
        ...(namespace === "" ? [] : [`${prefix}namespace=${namespace}`]),
        ...(uid === "" ? [] : [`${prefix}uid=${uid}`]),
        ...labels,
        ...fields.map((field) => `${ruleLabel}${field}`),
        ...ruleNames.map((rule) => `weft:rule-name=${rule}`),
        ...sources.map((source) => `weft:source=${source}`),
      ],
    }),
  );
}
