// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseSeconds, reportFlows, reportText } from "./report.ts";

const text = `
{"flow":"a/icmp","at":1000,"sent":100,"received":100,"lost":0,"slowestMs":1.5}
{"flow":"a/icmp","at":2000,"sent":100,"received":99,"lost":1,"slowestMs":3.5,"losses":[{"at":2250.5,"number":125,"why":"no answer"}]}
weft-load: something else
{"flow":"b/stream","at":2000,"sent":400,"received":400,"lost":0,"slowestMs":0.0,"retransmitted":3,"spurious":2}
{"flow":"a/icmp","at":3000,"sent":100,"received":0,"lost":100,"slowestMs":0.0}
`;

suite("what the load client reports", () => {
  test("is summed over an interval, flow by flow", () => {
    const reports = reportFlows(parseSeconds(text), { fromMs: 1_900, toMs: 2_100 });
    assert.deepEqual(
      reports.map(({ flow, sent, lost, missing, resent }) => [flow, sent, lost, missing, resent]),
      [
        ["a/icmp", 200, 1, 0, 0],
        ["b/stream", 400, 0, 1, 1],
      ],
    );
    assert.equal(
      reportText(reports),
      "a/icmp: 200 sent, 1 lost (00:00:02.250 no answer), slowest 3.5 ms\n" +
        "b/stream: 400 sent, 0 lost, slowest 0 ms, 1 segments sent again (00:00:02), 1 s missing",
    );
  });

  test("a segment the other end had already is none sent again, also when it says so in the next second", () => {
    const second = (at: number, retransmitted: number, spurious: number) => ({
      ...{ flow: "b/stream", at, sent: 1, received: 1, lost: 0, slowestMs: 0 },
      ...{ retransmitted, spurious },
    });
    const again = (...rows: ReturnType<typeof second>[]) =>
      reportFlows(rows, { fromMs: 1_000, toMs: 4_000 }).map(({ resent, resentAt }) => [resent, resentAt]);
    assert.deepEqual(again(second(1_000, 2, 0), second(2_000, 0, 2)), [[0, []]]);
    assert.deepEqual(again(second(1_000, 2, 0), second(2_000, 1, 2)), [[1, [2_000]]]);
    assert.deepEqual(again(second(1_000, 2, 0), second(2_000, 0, 0), second(3_000, 0, 2)), [[2, [1_000]]]);
  });

  test("a segment is none sent again while the client's datagrams are answered late: the other end stood still", () => {
    const stream = { flow: "pod/far/stream", at: 2_000, sent: 1, received: 1, lost: 0, slowestMs: 230 };
    const datagrams = (flow: string, slowestMs: number, lost = 0) => {
      return { flow, at: 2_000, sent: 100, received: 100 - lost, lost, slowestMs };
    };
    const resent = (other: ReturnType<typeof datagrams>) =>
      reportFlows([{ ...stream, retransmitted: 1 }, other], { fromMs: 2_000, toMs: 2_000 }).find(
        ({ flow }) => flow === stream.flow,
      )?.resent;
    assert.equal(resent(datagrams("pod/far/udp", 212)), 0);
    assert.equal(resent(datagrams("pod/far/udp", 40)), 1);
    assert.equal(resent(datagrams("pod/far/udp", 212, 1)), 1, "what is lost was not late");
    assert.equal(resent(datagrams("outside/far/udp", 212)), 1, "another client's");
  });
});
