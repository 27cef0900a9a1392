// SPDX-License-Identifier: Apache-2.0
/**
 * Every form of peer and port with real traffic: over both families, to the same node and another one, to the outside and to nodes, and
 * through Services, where the backend is what a policy is about. What must come out say the references (`tests/policy/oracle/`).
 */
import assert from "node:assert/strict";
import { isIPv6 } from "node:net";
import { after, before, suite, test } from "node:test";
import { outside, outsideV6 } from "#kit/manifest-world.ts";
import {
  type FormRow,
  formManifests,
  formNamespace,
  formPolicies,
  formPorts,
  formReferred,
  forms,
} from "#kit/policy-forms.ts";
import { testLab } from "#kit/test-lab.ts";
import { attemptText } from "../policy/agreement.ts";
import type { Cluster, Pod } from "../policy/oracle/cluster.ts";
import { mayConnect } from "../policy/oracle/oracle.ts";
import type { Attempt } from "../policy/oracle/side.ts";

/** One question to the lab, and what it comes down to for a policy. */
interface Asked {
  readonly row: FormRow;
  readonly question: object;
  readonly attempt: Attempt;
  readonly text: string;
}

const settleMs = 10_000;
const what: readonly Pick<Attempt, "protocol" | "port">[] = [
  { protocol: "TCP", port: 80 },
  { protocol: "TCP", port: 81 },
  { protocol: "UDP", port: 53 },
  { protocol: "ICMP", port: 8 },
];

suite("forms of peers and ports", () => {
  const lab = testLab("forms");
  const policies = formPolicies();
  let cluster: Cluster;

  before(async () => {
    await lab.run(["lab", "up", "--detach", "--nodes", "2", "--families", "dual"]);
    await lab.run(["lab", "apply", "-f", "-"], text(formManifests()));
    await lab.run(["lab", "apply", "-f", "-"], text(policies));
    cluster = await placed();
  });
  after(() => lab[Symbol.asyncDispose]());

  async function placed(): Promise<Cluster> {
    for (const endMs = Date.now() + 60_000; ; ) {
      const { pods, nodes } = await lab.status();
      const found = pods
        .filter(({ namespace, ready }) => ready && /^(peers|form-\d+)$/.test(namespace))
        .map(({ namespace, name, node, ips }): Pod => {
          const labels = { place: name };
          return {
            namespace,
            name,
            labels,
            node,
            addresses: ips,
            serviceAccount: "default",
            ports: formPorts(name),
          };
        });
      if (found.length === forms.length + 2) {
        const own = { role: "subject" };
        const spaces = forms.map((row) => [formNamespace(row), own] as const);
        return {
          nodes: nodes.map(({ name, addresses }) => ({
            name,
            addresses,
            labels: { "kubernetes.io/hostname": name },
          })),
          namespaces: { peers: { role: "peers" }, ...Object.fromEntries(spaces) },
          pods: found,
          apiServers: [],
          referred: formReferred(),
        };
      }
      if (Date.now() > endMs) throw new Error(`only ${found.length} of ${forms.length + 2} pods are ready`);
    }
  }

  const podOf = (namespace: string, name: string) =>
    cluster.pods.find((pod) => pod.namespace === namespace && pod.name === name)!;

  function asked(row: FormRow): Asked[] {
    const subject = podOf(formNamespace(row), "subject");
    const peers = [podOf("peers", "near"), podOf("peers", "far")];
    const name = `${subject.namespace}/subject`;
    if (row.direction === "ingress")
      return peers.flatMap((peer) =>
        subject.addresses.flatMap((to) => questions(row, { name: `peers/${peer.name}`, pod: peer }, to)),
      );
    const others = [...cluster.nodes.flatMap(({ addresses }) => addresses), ...outside, ...outsideV6];
    const targets = [...peers.flatMap(({ addresses }) => addresses), ...others];
    return [
      ...targets.flatMap((to) => questions(row, { name, pod: subject }, to)),
      ...["near", "far", "written"].flatMap((service) =>
        throughService(row, { name, pod: subject }, service),
      ),
    ];
  }

  function questions(row: FormRow, from: { name: string; pod: Pod }, to: string): Asked[] {
    return what.map((one) => {
      const port = one.protocol === "ICMP" && isIPv6(to) ? 128 : one.port;
      const attempt = { from: ownAddress(from.pod, to), to, protocol: one.protocol, port };
      const { protocol } = one;
      const question = { from: from.name, to, protocol, ...(protocol !== "ICMP" && { port }) };
      return { row, question, attempt, text: attemptText(attempt) };
    });
  }

  /** By the Service's port; what is judged is the backend and its port. */
  function throughService(row: FormRow, from: { name: string; pod: Pod }, service: string): Asked[] {
    const to = service === "written" ? "203.0.113.5" : podOf("peers", service).addresses[0]!;
    const attempt: Attempt = { from: ownAddress(from.pod, to), to, protocol: "TCP", port: 80 };
    const question = { from: from.name, to: `peers/${service}-service`, protocol: "TCP", port: 8000 };
    return [{ row, question, attempt, text: `by Service peers/${service}-service: ${attemptText(attempt)}` }];
  }

  function ownAddress({ addresses }: Pod, peer: string): string {
    return addresses.find((one) => isIPv6(one) === isIPv6(peer))!;
  }

  const wanted = ({ attempt }: Asked) => (mayConnect(cluster, policies, attempt) ? "allow" : "deny");

  async function wrong(list: readonly Asked[]): Promise<Asked[]> {
    const answers = await lab.probe(
      ["--questions", "-"],
      JSON.stringify(list.map(({ question }) => question)),
    );
    return list.filter((one, index) => answers[index]?.verdict !== wanted(one));
  }

  test("each lets through what it says, and nothing else", { timeout: 240_000 }, async (t) => {
    const all = forms.flatMap(asked);
    for (const row of forms) {
      const answers = new Set(all.filter((one) => one.row === row).map(wanted));
      assert.equal(answers.size, 2, `"${row.name}" tells nobody apart`);
    }
    let left: readonly Asked[] = all;
    for (const endMs = Date.now() + settleMs; left.length > 0; ) {
      left = await wrong(left);
      if (Date.now() > endMs) break;
    }
    t.diagnostic(`${forms.length} forms, ${all.length} attempts`);
    assert.deepEqual(
      left.map((one) => `${one.row.direction}, ${one.row.name}: ${one.text}: must be ${wanted(one)}`),
      [],
    );
  });
});

function text(objects: readonly object[]): string {
  return objects.map((object) => JSON.stringify(object)).join("\n---\n");
}
