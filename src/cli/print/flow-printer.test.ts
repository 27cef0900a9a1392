// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { FlowSchema } from "#api/gen/flow/flow_pb.ts";
import { GetFlowsResponseSchema } from "#api/gen/observer/observer_pb.ts";
import { createFlowPrinter, type FlowPrinterOptions } from "./flow-printer.ts";

const denied: MessageInitShape<typeof FlowSchema> = {
  time: { seconds: 1234n, nanos: 567_800_000 },
  Type: 1,
  nodeName: "k8s1",
  verdict: 2,
  IP: { source: "1.1.1.1", destination: "2.2.2.2" },
  source: { identity: 4 },
  destination: { identity: 12345 },
  l4: { protocol: { case: "TCP", value: { sourcePort: 31793, destinationPort: 8080 } } },
  eventType: { type: 1, subType: 133 },
  Summary: "TCP Flags: SYN",
  isReply: false,
};

const pods: MessageInitShape<typeof FlowSchema> = {
  ...denied,
  verdict: 1,
  eventType: { type: 4, subType: 0 },
  source: { identity: 1234, namespace: "shop", podName: "client-xyz" },
  destination: { identity: 5678, namespace: "shop", podName: "front-abc" },
};

type Given = MessageInitShape<typeof GetFlowsResponseSchema>;

function flow(value: MessageInitShape<typeof FlowSchema>): Given {
  return { responseTypes: { case: "flow", value } } as Given;
}

function print(options: Partial<FlowPrinterOptions>, ...given: Given[]): { out: string; err: string } {
  const written = { out: "", err: "" };
  const all: FlowPrinterOptions = {
    output: "compact",
    color: false,
    timeFormat: "StampMilli",
    nodeName: false,
    policyNames: false,
    policies: true,
    translate: true,
    debug: false,
    ...options,
  };
  const outputs = {
    stdout: (text: string) => {
      written.out += text;
    },
    stderr: (text: string) => {
      written.err += text;
    },
  };
  const printer = createFlowPrinter(all, outputs);
  for (const response of given) printer.print(create(GetFlowsResponseSchema, response));
  printer.end();
  return written;
}

test("compact", () => {
  assert.equal(
    print({}, flow(denied)).out,
    "Jan  1 00:20:34.567: 1.1.1.1:31793 (health) -> 2.2.2.2:8080 (ID:12345) Policy denied DROPPED (TCP Flags: SYN)\n",
  );
  assert.equal(
    print({ nodeName: true }, flow(pods)).out,
    "Jan  1 00:20:34.567 [k8s1]: shop/client-xyz:31793 (ID:1234) -> shop/front-abc:8080 (ID:5678) to-endpoint FORWARDED (TCP Flags: SYN)\n",
  );
});

test("compact: a reply points back at who asked, an unknown direction both ways", () => {
  assert.match(
    print({}, flow({ ...pods, isReply: true })).out,
    / shop\/front-abc:8080 \(ID:5678\) <- shop\/client-xyz:31793 \(ID:1234\) /,
  );
  const { isReply: _, ...unknown } = pods;
  assert.match(print({}, flow(unknown)).out, /\(ID:1234\) <> shop/);
});

test("compact: policies stand at the end of the line, or as Hubble has them", () => {
  const policy = { name: "web", namespace: "shop", kind: "NetworkPolicy" };
  const other = { name: "all", kind: "CiliumClusterwideNetworkPolicy" };
  const both = flow({ ...denied, egressAllowedBy: [policy], ingressDeniedBy: [policy, other] });
  assert.match(
    print({}, both).out,
    /DROPPED \(TCP Flags: SYN\) \[egress allowed by NetworkPolicy shop\/web; ingress denied by NetworkPolicy shop\/web, CiliumClusterwideNetworkPolicy all\]\n$/,
  );
  assert.match(print({ policies: false }, both).out, /DROPPED \(TCP Flags: SYN\)\n$/);
  const verdict = flow({ ...denied, eventType: { type: 5 }, trafficDirection: 2, egressDeniedBy: [policy] });
  assert.match(
    print({ policyNames: true }, verdict).out,
    / policy-verdict:none EGRESS DENIED BY web \(NetworkPolicy\) \(TCP Flags: SYN\)\n$/,
  );
});

test("compact: addresses when asked for, services, IPv6 in brackets", () => {
  assert.match(
    print({ translate: false }, flow(pods)).out,
    / 1\.1\.1\.1:31793 \(ID:1234\) -> 2\.2\.2\.2:8080 /,
  );
  const service = flow({ ...denied, destinationService: { namespace: "shop", name: "front" } });
  assert.match(print({}, service).out, /-> shop\/front:8080 /);
  const six = flow({ ...denied, IP: { source: "fd00::1", destination: "fd00::2" } });
  assert.match(print({}, six).out, / \[fd00::1\]:31793 \(health\) -> \[fd00::2\]:8080 /);
});

test("compact: colours", () => {
  const { out } = print({ color: true }, flow(denied));
  assert.ok(out.includes("\x1b[36m1.1.1.1\x1b[0m:\x1b[33m31793\x1b[0m \x1b[35m(health)\x1b[0m -> "));
  assert.ok(out.includes("\x1b[31mDROPPED\x1b[0m"));
});

test("names cannot reach the terminal's controls", () => {
  const evil = flow({ ...pods, source: { namespace: "shop", podName: "a\x1b]0;title\x07b" } });
  assert.match(print({}, evil).out, /shop\/a\ufffd\]0;title\ufffdb:31793/);
});

test("dict", () => {
  assert.equal(
    print({ output: "dict", nodeName: true }, flow(denied), flow(denied)).out,
    `  TIMESTAMP: Jan  1 00:20:34.567
       NODE: k8s1
     SOURCE: 1.1.1.1:31793
DESTINATION: 2.2.2.2:8080
       TYPE: Policy denied
    VERDICT: DROPPED
    SUMMARY: TCP Flags: SYN
------------
  TIMESTAMP: Jan  1 00:20:34.567
       NODE: k8s1
     SOURCE: 1.1.1.1:31793
DESTINATION: 2.2.2.2:8080
       TYPE: Policy denied
    VERDICT: DROPPED
    SUMMARY: TCP Flags: SYN
`,
  );
});

test("table", () => {
  assert.equal(
    print({ output: "table" }, flow(denied)).out,
    `TIMESTAMP             SOURCE          DESTINATION    TYPE            VERDICT   SUMMARY
Jan  1 00:20:34.567   1.1.1.1:31793   2.2.2.2:8080   Policy denied   DROPPED   TCP Flags: SYN
`,
  );
});

test("jsonpb has the names of the .proto file", () => {
  assert.equal(
    print({ output: "jsonpb" }, flow(denied)).out,
    `{"flow":{"time":"1970-01-01T00:20:34.567800Z","verdict":"DROPPED","IP":{"source":"1.1.1.1","destination":"2.2.2.2"},` +
      `"l4":{"TCP":{"source_port":31793,"destination_port":8080}},"source":{"identity":4},"destination":{"identity":12345},` +
      `"Type":"L3_L4","node_name":"k8s1","event_type":{"type":1,"sub_type":133},"is_reply":false,"Summary":"TCP Flags: SYN"}}\n`,
  );
});

test("lost events are told among the flows, nodes on stderr", () => {
  const lost: Given = {
    responseTypes: { case: "lostEvents", value: { source: 1, numEventsLost: 42n } },
  } as Given;
  assert.equal(print({}, lost).out, "EVENTS LOST: PERF_EVENT_RING_BUFFER CPU(0) 42\n");
  const status = (stateChange: number, message = ""): Given =>
    ({
      responseTypes: { case: "nodeStatus", value: { stateChange, nodeNames: ["c/n1", "c/n2"], message } },
      time: { seconds: 1234n, nanos: 0 },
      nodeName: "relay",
    }) as Given;
  assert.deepEqual(print({}, status(2)), {
    out: "",
    err: "Jan  1 00:20:34.000 [relay]: 2 nodes are unavailable: c/n1, c/n2\n",
  });
  assert.deepEqual(
    print({}, status(4, 'no "x"')).err,
    'Jan  1 00:20:34.000 [relay]: Error "no \\"x\\"" on 2 nodes: c/n1, c/n2\n',
  );
  assert.deepEqual(print({}, status(1)), { out: "", err: "" });
  assert.match(print({ debug: true }, status(1)).err, /Receiving flows from 2 nodes: c\/n1, c\/n2\n$/);
});
