// SPDX-License-Identifier: Apache-2.0

import { portText } from "#model/port.ts";
import { ask } from "./ask.ts";
import { loadCluster, type OfflineCluster } from "./cluster.ts";
import type { Party } from "./ends.ts";
import { reasonText } from "./explain.ts";
import { flowEndText, flowParty, type RecordedFlow } from "./flows.ts";
import { createJudge, type Judge } from "./judge.ts";
import { type Truth, truthOf, truthTable } from "./matrix.ts";
import type { SourcedObject } from "./objects.ts";
import { partyText } from "./text.ts";

/** What would be different if objects were applied, or deleted. */
export interface Preview {
  readonly policies: readonly {
    readonly policy: string;
    readonly change: "new" | "changed" | "same" | "deleted";
  }[];
  /** Policies that would not be in force, and why. */
  readonly refused: readonly { readonly policy: string; readonly why: string }[];
  readonly flows: {
    readonly recorded: number;
    /** Of pods that are not there any more, or dropped for another reason than policy. */
    readonly skipped: number;
    readonly changes: readonly FlowChange[];
  };
  /** Who starts or stops to drop what no rule allows. */
  readonly isolation: readonly IsolationChange[];
  /** Workloads to service ports whose answer changes, recorded or not. */
  readonly connections: readonly ConnectionChange[];
  readonly entries: { readonly before: number; readonly after: number };
}

type Verdict = "allow" | "deny";

export interface FlowChange {
  readonly from: string;
  readonly to: string;
  readonly port: string;
  readonly before: Verdict;
  readonly after: Verdict;
  /** How many of the recorded flows. */
  readonly count: number;
  /** Of the last of them. */
  readonly uuid: string;
  readonly why: string;
}

export interface IsolationChange {
  readonly pod: string;
  /** `namespace/name` */
  readonly workload: string;
  readonly direction: "ingress" | "egress";
  readonly change: "gains" | "loses";
}

export interface ConnectionChange {
  readonly from: string;
  readonly to: string;
  readonly port: string;
  readonly before: Verdict;
  readonly after: Verdict;
}

export interface PreviewChanges {
  readonly put: readonly SourcedObject[];
  readonly remove?: readonly SourcedObject[];
}

/** Compares a cluster with what it would be. Nothing is applied. */
export function preview(
  before: OfflineCluster,
  { put, remove = [] }: PreviewChanges,
  flows: readonly RecordedFlow[],
): Preview {
  const gone = new Set(remove.map((one) => nameOf(one, before)));
  const kept = before.objects.filter((one) => !gone.has(nameOf(one, before)));
  const after = loadCluster([...kept, ...put], before.settings);
  const judges: Judges = { before: createJudge(before), after: createJudge(after) };
  return {
    policies: policyChanges(before, after),
    refused: after.policies.flatMap(({ key, row }) =>
      row.refused ? [{ policy: key, why: row.refused.message }] : [],
    ),
    flows: flowChanges(judges, flows),
    isolation: isolationChanges(judges),
    connections: connectionChanges(judges),
    entries: { before: entriesOf(judges.before), after: entriesOf(judges.after) },
  };
}

interface Judges {
  readonly before: Judge;
  readonly after: Judge;
}

function nameOf({ object }: SourcedObject, { settings }: OfflineCluster): string {
  const { apiVersion, kind, metadata } = object;
  return `${apiVersion} ${kind} ${metadata.namespace ?? settings.namespace}/${metadata.name}`;
}

function policyChanges(before: OfflineCluster, after: OfflineCluster): Preview["policies"] {
  const old = new Map(before.policies.map((policy) => [policy.key, policy]));
  const now = new Set(after.policies.map(({ key }) => key));
  const text = ({ row }: OfflineCluster["policies"][number]) =>
    JSON.stringify([row.refused, row.rules.map(({ origin: _origin, ...rule }) => rule)]);
  const changed = after.policies.flatMap((policy) => {
    const was = old.get(policy.key);
    if (was?.object === policy.object) return [];
    const change = !was ? "new" : text(was) === text(policy) ? "same" : "changed";
    return [{ policy: policy.key, change } as const];
  });
  const deleted = before.policies.filter(({ key }) => !now.has(key));
  return [...changed, ...deleted.map(({ key }) => ({ policy: key, change: "deleted" }) as const)];
}

function flowChanges(judges: Judges, flows: readonly RecordedFlow[]): Preview["flows"] {
  const changes = new Map<string, FlowChange>();
  let skipped = 0;
  for (const flow of flows) {
    const [before, after] = [verdictOf(judges.before, flow), verdictOf(judges.after, flow)];
    if (!before || !after) skipped++;
    if (!before || !after || before.verdict === after.verdict) continue;
    const [from, to] = [flow.from, flow.to].map((end) =>
      flowEndText(end, flowParty(judges.after.cluster, end)),
    ) as [string, string];
    const port = portText(flow);
    const key = `${from} ${to} ${port} ${before.verdict}`;
    const count = (changes.get(key)?.count ?? 0) + 1;
    const { uuid } = flow;
    changes.set(key, {
      from,
      to,
      port,
      before: before.verdict,
      after: after.verdict,
      count,
      uuid,
      why: after.why,
    });
  }
  const list = [...changes.values()].sort((a, b) => b.count - a.count);
  return { recorded: flows.length, skipped, changes: list };
}

/** What the policies say of a flow, whatever was recorded of it. */
export function verdictOf(judge: Judge, flow: RecordedFlow): { verdict: Verdict; why: string } | undefined {
  const from = flowParty(judge.cluster, flow.from);
  const to = flowParty(judge.cluster, flow.to);
  if (!from || !to || from.kind === "service") return undefined;
  const { verdict, paths, note } = ask(judge, from, to, flow);
  const [path] = paths;
  if (!path) return { verdict, why: note ?? "" };
  const side =
    path.egress.verdict === "deny" || path.ingress.reason === "no-endpoint" ? path.egress : path.ingress;
  return { verdict, why: `${side.direction}: ${reasonText(side, path)}` };
}

function isolationChanges({ before, after }: Judges): IsolationChange[] {
  const old = new Map(before.cluster.pods.map((pod) => [`${pod.namespace}/${pod.name}`, pod]));
  return after.cluster.pods.flatMap((pod) => {
    const name = `${pod.namespace}/${pod.name}`;
    const was = old.get(name);
    const workload = `${pod.namespace}/${pod.workload}`;
    return (["ingress", "egress"] as const).flatMap((direction): IsolationChange[] => {
      const had = was !== undefined && before.isIsolated(was, direction);
      const has = after.isIsolated(pod, direction);
      return had === has || pod.hostNetwork
        ? []
        : [{ pod: name, workload, direction, change: has ? "gains" : "loses" }];
    });
  });
}

function connectionChanges({ before, after }: Judges): ConnectionChange[] {
  const keyOf = (truth: ReturnType<typeof truthTable>[number]) =>
    JSON.stringify({ ...truth.row, verdict: "" });
  const old = new Map(comparedTable(before).map((truth) => [keyOf(truth), truth]));
  return comparedTable(after).flatMap((truth) => {
    const was = old.get(keyOf(truth));
    if (!was || was.row.verdict === truth.row.verdict) return [];
    const { from, to, row } = truth;
    const port = `${row.to.port}/${row.to.protocol}`;
    const ends = { from: workloadText(from), to: workloadText(to), port };
    return [{ ...ends, before: was.row.verdict, after: row.verdict }];
  });
}

/** One pod of a workload stands for all. */
function workloadText(party: Party): string {
  return party.kind === "pod" ? `${party.pod.namespace}/${party.pod.workload}` : partyText(party);
}

/** The usual table, and who asks for names: that is what a new default deny takes away unseen. */
function comparedTable(judge: Judge): Truth[] {
  const { cluster } = judge;
  const dns = cluster.services.find(
    ({ namespace, name }) => namespace === "kube-system" && name === "kube-dns",
  );
  const usual = truthTable(judge, {});
  const sources = new Map(usual.map(({ from }) => [workloadText(from), from]));
  const names = (dns?.ports ?? [])
    .filter(({ port }) => port === 53)
    .flatMap(({ port, proto }) =>
      [...sources.values()].map((from) =>
        truthOf(judge, from, { to: { kind: "service", service: dns! }, port: { port, proto } }),
      ),
    );
  return [...usual, ...names];
}

/** Of all policy maps together; pods with the same policies share one. */
function entriesOf({ policies }: Judge): number {
  return policies.reduce((sum, { entries }) => sum + entries.length, 0);
}
