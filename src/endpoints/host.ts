// SPDX-License-Identifier: Apache-2.0
import type { Endpoint as EndpointValue } from "#datapath/layouts/endpoint.ts";
import { EndpointFlag, EndpointId } from "#datapath/layouts/enums.ts";
import type { TypedMap } from "#kernel/bpf/typed-map.ts";
import { ReservedIdentity } from "#model/identity.ts";
import { type Labels, labelText } from "#model/labels.ts";
import type { Node } from "#nodes/node.ts";
import type { Database, Table, WritableTable } from "#store/table.ts";
import type { EndpointPolicy } from "./controller.ts";
import type { NamedPort } from "./endpoint.ts";
import { revisionInKernel } from "./entries.ts";

/** The node itself as an endpoint that policies select. */
export interface HostEndpoint {
  readonly id: number;
  /** `reserved:host` and the Node's own. */
  readonly labels: Labels;
  readonly namedPorts: readonly NamedPort[];
}

export function hostEndpointOf({ labels }: Pick<Node, "labels">): HostEndpoint {
  return {
    id: EndpointId.hostEndpoint,
    labels: new Map([...labels, ["reserved:host", ""]]),
    namedPorts: [],
  };
}

/** Key: the id. At most one row; none where policies cannot select the node. */
export function hostEndpointTable(db: Database): WritableTable<HostEndpoint> {
  return db.table<HostEndpoint>({
    name: "host-endpoint",
    key: (row) => String(row.id),
    equal: (a, b) => labelText(a.labels) === labelText(b.labels),
    columns: [
      { name: "ID", of: (row) => row.id },
      { name: "LABELS", of: (row) => labelText(row.labels) },
    ],
  });
}

export interface HostEndpointDeps {
  readonly db: Database;
  readonly nodes: Table<Node>;
  /** Written. */
  readonly hosts: WritableTable<HostEndpoint>;
  readonly policies: Table<EndpointPolicy>;
  /** See `EndpointControllerDeps`. */
  policyInForce(policyId: number, revision: number): boolean;
  readonly map: TypedMap<number, EndpointValue>;
  readonly audit: boolean;
  /** Policies may select the node. */
  readonly enabled: boolean;
}

/**
 * Own Node → what policies select → what the kernel judges the node by. Call `refresh` when a policy map has reached the kernel: until it
 * holds the node's policy, the node keeps the one it has.
 */
export function startHostEndpoint(deps: HostEndpointDeps): Disposable & { refresh(): void } {
  const { db, nodes, hosts, policies, map, enabled } = deps;
  const source = hosts.source("node");
  const key = String(EndpointId.hostEndpoint);
  const follow = () => {
    const self = [...nodes.all()].find((node) => node.self);
    if (!enabled || !self) return;
    db.write((tx) => tx.put(hosts, hostEndpointOf(self)));
  };
  const refresh = () => {
    const policy = policies.get(key);
    if (!policy || (policy.policyId !== 0 && !deps.policyInForce(policy.policyId, policy.revision))) return;
    map.set(0, hostValue(policy, deps.audit));
  };
  follow();
  refresh();
  const stops = [nodes.onCommit(follow), policies.onCommit((keys) => [...keys].includes(key) && refresh())];
  void nodes.ready.then(() => {
    follow();
    source.synced();
  });
  return {
    refresh,
    [Symbol.dispose]: () => {
      for (const stop of stops) stop();
    },
  };
}

/** What the kernel judges the node by; policy 0: by nothing. */
export function hostValue(policy: EndpointPolicy, audit: boolean): EndpointValue {
  const { policyId, revision, enforceIngress, enforceEgress, audits } = policy;
  return {
    v4: undefined,
    v6: undefined,
    identity: ReservedIdentity.host,
    policyId,
    policyRev: revisionInKernel(revision, audit),
    ifindex: 0,
    id: EndpointId.hostEndpoint,
    flags:
      (enforceIngress ? EndpointFlag.enforceIngress : 0) |
      (enforceEgress ? EndpointFlag.enforceEgress : 0) |
      (audit ? EndpointFlag.audit : 0) |
      (audits ? EndpointFlag.audited : 0),
    mac: "00:00:00:00:00:00",
    hostMac: "00:00:00:00:00:00",
  };
}
