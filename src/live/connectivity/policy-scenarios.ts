// SPDX-License-Identifier: Apache-2.0
import { pause } from "#lib/clock.ts";
import { WeftError } from "#lib/errors.ts";
import {
  addressesOf,
  type Check,
  type Context,
  eventually,
  expectAll,
  type FlowLine,
  withPolicies,
} from "./context.ts";
import { ciliumPolicy, networkPolicy, type Role } from "./manifests.ts";
import { type Outcome, podPorts } from "./protocol.ts";
import type { Scenario } from "./scenario.ts";

const hint =
  "weft policy get: is the policy there, and not refused? weft observe --verdict DROPPED shows which one denied";

/** Attempts by TCP at every address of a pod. */
function tcp(context: Context, from: Role, to: Role, expect: Outcome, port: number = podPorts.main): Check[] {
  return addressesOf(context, to).map((host) => ({
    from,
    to: `${to} ${host.includes(":") ? `[${host}]` : host}:${port}/TCP`,
    attempt: { kind: "tcp", host, port },
    expect,
  }));
}

const onlyFrom = (role: Role, ports?: readonly object[]) => ({
  policyTypes: ["Ingress"],
  ingress: [{ from: [{ podSelector: { matchLabels: { role } } }], ...(ports && { ports }) }],
});

/** Who else there is besides the client: on another node where there is one. */
function other(context: Context): Role {
  return context.pods.has("far") ? "far" : "host";
}

/** While the policy is in force `denied` holds; before and after, everything passes. */
async function whileDenied(
  context: Context,
  policy: ReturnType<typeof networkPolicy>,
  during: readonly Check[],
): Promise<void> {
  const open = during.map((check): Check => ({ ...check, expect: "answer" }));
  await expectAll(context, open);
  await withPolicies(context, [policy], () => eventually(context, during));
  await eventually(context, open);
}

export const policyScenarios: readonly Scenario[] = [
  {
    name: "policy-deny-ingress",
    shows: "a NetworkPolicy without rules isolates a pod, and lets go of it when it is deleted",
    hint,
    run: (context) =>
      whileDenied(
        context,
        networkPolicy(context.namespace, "deny-ingress", "near", { policyTypes: ["Ingress"] }),
        tcp(context, "client", "near", "silence"),
      ),
  },
  {
    name: "policy-allow-one",
    shows: "of two pods the one that is named gets through",
    twoNodes: true,
    hint,
    run: (context) =>
      whileDenied(context, networkPolicy(context.namespace, "allow-client", "near", onlyFrom("client")), [
        ...tcp(context, "client", "near", "answer"),
        ...tcp(context, "far", "near", "silence"),
      ]),
  },
  {
    name: "policy-deny-egress",
    shows: "a pod without egress reaches nobody, and is still reached",
    hint,
    run: (context) =>
      whileDenied(
        context,
        networkPolicy(context.namespace, "deny-egress", "client", { policyTypes: ["Egress"] }),
        [
          ...tcp(context, "client", "near", "silence"),
          ...(context.pods.has("far") ? tcp(context, "client", "far", "silence") : []),
          ...tcp(context, other(context), "client", "answer"),
        ],
      ),
  },
  {
    name: "policy-cidr",
    shows: "egress to an address is allowed, to all others not",
    twoNodes: true,
    hint,
    run: (context) => {
      const to = addressesOf(context, "far").map((address) => ({
        ipBlock: { cidr: `${address}/${address.includes(":") ? 128 : 32}` },
      }));
      return whileDenied(
        context,
        networkPolicy(context.namespace, "to-cidr", "client", { policyTypes: ["Egress"], egress: [{ to }] }),
        [...tcp(context, "client", "far", "answer"), ...tcp(context, "client", "near", "silence")],
      );
    },
  },
  {
    name: "policy-named-port",
    shows: "a port is allowed by its name, another is not",
    hint,
    run: (context) =>
      whileDenied(
        context,
        networkPolicy(context.namespace, "named-port", "near", onlyFrom("client", [{ port: "web" }])),
        [
          ...tcp(context, "client", "near", "answer"),
          ...tcp(context, "client", "near", "silence", podPorts.other),
        ],
      ),
  },
  {
    name: "policy-cilium",
    shows: "a CiliumNetworkPolicy allows one pod at one port",
    hint,
    run: (context) =>
      whileDenied(
        context,
        ciliumPolicy(context.namespace, "cilium", "near", {
          ingress: [
            {
              fromEndpoints: [{ matchLabels: { role: "client" } }],
              toPorts: [{ ports: [{ port: String(podPorts.main), protocol: "TCP" }] }],
            },
          ],
        }),
        [
          ...tcp(context, "client", "near", "answer"),
          ...tcp(context, "client", "near", "silence", podPorts.other),
          ...(context.pods.has("far") ? tcp(context, "far", "near", "silence") : []),
        ],
      ),
  },
  {
    name: "flows",
    shows: "a denied connection is a dropped flow that names the policy, an allowed one a forwarded flow",
    hint: "weft status: does the relay run, are flows on? weft observe --last 20",
    run: async (context) => {
      const sinceMs = Date.now() - 1000;
      await expectAll(context, tcp(context, "client", "near", "answer"));
      await flowSeen(
        context,
        sinceMs,
        "a forwarded flow client → near",
        (flow) => flow.verdict === "FORWARDED",
      );
      const policy = networkPolicy(context.namespace, "deny-seen", "near", { policyTypes: ["Ingress"] });
      await withPolicies(context, [policy], async () => {
        await eventually(context, tcp(context, "client", "near", "silence"));
        const dropped = (flow: FlowLine) => flow.verdict === "DROPPED" && flow.policies.includes("deny-seen");
        await flowSeen(context, sinceMs, "a flow client → near dropped by deny-seen", dropped);
      });
    },
  },
];

const flowsMs = 15_000;

async function flowSeen(
  context: Context,
  sinceMs: number,
  what: string,
  matches: (flow: FlowLine) => boolean,
): Promise<void> {
  const endMs = Date.now() + flowsMs;
  for (;;) {
    const flows = await context.flows(sinceMs);
    if (flows.some((flow) => flow.source === "client" && flow.destination === "near" && matches(flow)))
      return;
    if (Date.now() > endMs)
      throw new WeftError("E_CONNECTIVITY", `no ${what.replace(/^an? /, "")} among ${flows.length} flows`);
    await pause(500, context.signal);
    context.signal.throwIfAborted();
  }
}
