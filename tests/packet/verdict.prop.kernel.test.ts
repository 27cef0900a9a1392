// SPDX-License-Identifier: Apache-2.0
/** The datapath and `src/policy/verdict.ts` answer every question alike: generated policies, real packets. */
import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { DropReason, EventType } from "#datapath/layouts/enums.ts";
import { Action, at, TestNode } from "#kit/datapath.ts";
import { buildPacket, type Transport } from "#kit/packet.ts";
import fc from "#kit/property.ts";
import type { PolicyEntry, ResolvedPolicy } from "#policy/rule.ts";
import { prefixBits, verdict } from "#policy/verdict.ts";

const POLICIES = 60;
const PACKETS = 200;
const POD = { v4: "10.0.1.2", v6: "fd00:10:0:1::2" } as const;
const REMOTE = { v4: "10.0.2.", v6: "fd00:10:0:2::" } as const;
const identities = [2001, 2002, 2003, 2004, 2005];
/** Of the addresses of the first peers; the others are in none. */
const blocks = [0x03000001, 0x03000002, 0x03000003];
const ports = [0, 7, 8, 53, 79, 80, 81, 443, 1023, 1024, 8080, 32_768, 65_535];

const portOf = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...ports) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 65_535 }) },
);

const entryOf: fc.Arbitrary<PolicyEntry> = fc
  .record({
    direction: fc.constantFrom("ingress" as const, "egress" as const),
    identity: fc.constantFrom(0, ...identities, ...blocks),
    proto: fc.constantFrom(0, 1, 6, 6, 17, 58),
    portBits: fc.constantFrom(0, 1, 6, 10, 15, 16, 16),
    port: portOf,
    verdict: fc.constantFrom(
      "allow" as const,
      "allow" as const,
      "deny" as const,
      "deny" as const,
      "pass" as const,
    ),
    round: fc.constantFrom(1 as const, 2 as const),
    audit: fc.constantFrom(false, false, true),
    precedence: fc.integer({ min: 0, max: 24 }),
    rule: fc.integer({ min: 1, max: 0xffff_ffff }),
  })
  .map(({ round, audit, ...entry }) => ({
    ...entry,
    ...(round === 2 && { round }),
    ...(audit && { audit }),
  }))
  .map((entry) => (entry.proto === 0 ? { ...entry, portBits: 0, port: 0 } : entry))
  .map((entry) => ({ ...entry, port: (entry.port >>> (16 - entry.portBits)) << (16 - entry.portBits) }));

/** A map has each key once. */
const keyOf = (e: PolicyEntry) =>
  [e.direction, e.round, e.audit, e.identity, e.proto, prefixBits(e), e.port].join();

const policyOf: fc.Arbitrary<Omit<ResolvedPolicy, "id" | "revision">> = fc.record({
  enforceIngress: fc.boolean(),
  enforceEgress: fc.boolean(),
  entries: fc.uniqueArray(entryOf, { selector: keyOf, maxLength: 40 }),
});

interface Attempt {
  readonly direction: "ingress" | "egress";
  readonly family: "v4" | "v6";
  readonly peer: number;
  readonly proto: "tcp" | "udp" | "echo";
  readonly port: number;
}

const attemptOf: fc.Arbitrary<Attempt> = fc.record({
  direction: fc.constantFrom("ingress" as const, "egress" as const),
  family: fc.constantFrom("v4" as const, "v6" as const),
  peer: fc.nat({ max: identities.length - 1 }),
  proto: fc.constantFrom("tcp" as const, "tcp" as const, "udp" as const, "echo" as const),
  port: portOf,
});

let node: TestNode;
let revision = 100;
let unique = 1;
let cases = 0;
let denied = 0;

before(() => {
  node = TestNode.create("verdict", { routing: "tunnel" });
  identities.forEach((identity, i) => {
    node.identify(`${REMOTE.v4}${i + 2}/32`, identity, at.v4.otherNode);
    node.identify(`${REMOTE.v6}${i + 2}/128`, identity, at.v4.otherNode);
    const block = blocks[i];
    if (block === undefined) return;
    node.block(`${REMOTE.v4}${i + 2}/32`, block);
    node.block(`${REMOTE.v6}${i + 2}/128`, block);
  });
});
after(() => node[Symbol.dispose]());

function transportOf({ proto, port }: Attempt, sport: number): Transport {
  if (proto === "echo") return { kind: "echo", id: sport };
  return proto === "tcp"
    ? { kind: "tcp", sport, dport: port, flags: 2 }
    : { kind: "udp", sport, dport: port };
}

function questionOf({ direction, family, peer, proto, port }: Attempt) {
  const v6 = family === "v6";
  const block = blocks[peer];
  const who = { direction, identity: identities[peer]!, ...(block !== undefined && { block }) };
  if (proto === "echo") return { ...who, proto: v6 ? 58 : 1, port: v6 ? 128 : 8 };
  return { ...who, proto: proto === "tcp" ? 6 : 17, port };
}

/** Sends the attempt's packet, always a new connection. */
function send(pod: ReturnType<TestNode["pod"]>, attempt: Attempt) {
  unique = (unique % 65_000) + 1;
  const remote = `${REMOTE[attempt.family]}${attempt.peer + 2}`;
  const here = POD[attempt.family];
  const [from, to] = attempt.direction === "ingress" ? [remote, here] : [here, remote];
  const bytes = buildPacket({ from, to, transport: transportOf(attempt, unique) });
  return attempt.direction === "ingress"
    ? node.fromOverlay(bytes, identities[attempt.peer]!)
    : node.fromPod(pod, bytes);
}

it("programs judge as the specification says", { timeout: 180_000 }, (t) => {
  fc.assert(
    fc.property(
      policyOf,
      fc.array(attemptOf, { minLength: PACKETS, maxLength: PACKETS }),
      (fields, attempts) => {
        const policy: ResolvedPolicy = { ...fields, id: 1, revision: ++revision };
        const { enforceIngress, enforceEgress } = policy;
        node.policy(policy.id, policy.entries);
        const pod = node.pod({
          id: 1,
          ...POD,
          identity: 1001,
          policy: policy.id,
          audits: policy.entries.some(({ audit }) => audit),
          revision,
          enforce: [
            ...(enforceIngress ? (["ingress"] as const) : []),
            ...(enforceEgress ? (["egress"] as const) : []),
          ],
        });
        for (const attempt of attempts) {
          const expected = verdict(policy, questionOf(attempt));
          const { action, events } = send(pod, attempt);
          const deny = expected.verdict === "deny";
          const audit = expected.verdict === "audit";
          const event = audit ? events[0] : events.at(-1);
          const denies = deny || audit;
          const rule = attempt.direction === "ingress" ? event?.ingressRule : event?.egressRule;
          assert.deepEqual(
            { action, type: event?.type, reason: denies ? event?.reason : 0, rule },
            {
              action: deny ? Action.drop : Action.redirect,
              type: deny ? EventType.drop : audit ? EventType.verdict : EventType.trace,
              reason: denies ? (expected.explicit ? DropReason.policyDeny : DropReason.policyDenied) : 0,
              rule: expected.entry?.rule ?? 0,
            },
          );
          cases++;
          denied += deny ? 1 : 0;
        }
      },
    ),
    { numRuns: POLICIES },
  );
  t.diagnostic(`${cases} questions, ${denied} denied`);
  assert.ok(cases >= 10_000);
  assert.ok(denied > cases / 10 && denied < (cases * 9) / 10, "both answers occur");
});
