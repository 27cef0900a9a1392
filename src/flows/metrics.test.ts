// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventFlag } from "#datapath/layouts/enums.ts";
import { testStore } from "#kit/flow-store.ts";
import { createRegistry, parseListen, startMetricsServer } from "#lib/metrics.ts";
import { flowMetrics } from "./metrics.ts";

test("flows are counted under Hubble's names and labels", async () => {
  const { store, add, ingest } = testStore();
  const { first, ingressJudged, egressJudged, ingress, reply } = EventFlag;
  add(
    { dport: 80, tcpFlags: 0x02, flags: first | ingressJudged | egressJudged, ingressRule: 7 },
    { sport: 80, tcpFlags: 0x12, flags: reply },
    { dport: 80, tcpFlags: 0x11 },
    { dport: 53, proto: 17, saddr: "fd00::1", daddr: "fd00::2" },
    { proto: 58, sport: 128, saddr: "fd00::1", daddr: "fd00::2" },
    { proto: 1, sport: 3, dport: 3 },
    { type: 1, reason: 133, dport: 5432, flags: ingress | egressJudged, egressRule: 9, untold: 40 },
  );
  ingest.lost(3, 1);
  const text = await flowMetrics(store.counters, store.ring).metrics();
  const lines = text.split("\n").filter((line) => line.startsWith("hubble_"));
  assert.deepEqual(lines.sort(), [
    'hubble_drop_total{protocol="TCP",reason="POLICY_DENIED"} 41',
    'hubble_flows_processed_total{protocol="ICMPv4",subtype="to-endpoint",type="Trace",verdict="FORWARDED"} 1',
    'hubble_flows_processed_total{protocol="ICMPv6",subtype="to-endpoint",type="Trace",verdict="FORWARDED"} 1',
    'hubble_flows_processed_total{protocol="TCP",subtype="POLICY_DENIED",type="Drop",verdict="DROPPED"} 1',
    'hubble_flows_processed_total{protocol="TCP",subtype="to-endpoint",type="Trace",verdict="FORWARDED"} 3',
    'hubble_flows_processed_total{protocol="UDP",subtype="to-endpoint",type="Trace",verdict="FORWARDED"} 1',
    'hubble_icmp_total{family="IPv4",type="DestinationUnreachable(Port)"} 1',
    'hubble_icmp_total{family="IPv6",type="EchoRequest"} 1',
    'hubble_lost_events_total{source="perf_event_ring_buffer"} 3',
    'hubble_policy_verdicts_total{action="dropped",direction="ingress",match="none"} 1',
    'hubble_policy_verdicts_total{action="forwarded",direction="egress",match="none"} 1',
    'hubble_policy_verdicts_total{action="forwarded",direction="egress",match="rule"} 1',
    'hubble_policy_verdicts_total{action="forwarded",direction="ingress",match="rule"} 1',
    'hubble_port_distribution_total{port="53",protocol="UDP"} 1',
    'hubble_port_distribution_total{port="80",protocol="TCP"} 2',
    'hubble_tcp_flags_total{family="IPv4",flag="FIN"} 1',
    'hubble_tcp_flags_total{family="IPv4",flag="SYN"} 1',
    'hubble_tcp_flags_total{family="IPv4",flag="SYN-ACK"} 1',
  ]);
});

test("ports beyond a number of them are counted together", async () => {
  const { store, add } = testStore();
  add(...Array.from({ length: 1_500 }, (_, i) => ({ dport: i + 1 })));
  assert.ok(store.counters.ports.size <= 1_025);
  assert.equal(store.counters.ports.get(6 * 65_536), 1_500 - 1_024);
});

test("the server gives the metrics of all sources, and nothing else", async () => {
  const other = { metrics: async () => "other_total 1\n" };
  await using server = await startMetricsServer({
    listen: "127.0.0.1:0",
    registries: [createRegistry(), other],
  });
  const url = `http://127.0.0.1:${server.port}`;
  const body = await (await fetch(`${url}/metrics`)).text();
  assert.match(body, /^process_cpu_seconds_total \d/m);
  assert.match(body, /^other_total 1$/m);
  assert.equal((await fetch(`${url}/`)).status, 404);
  await assert.rejects(startMetricsServer({ listen: `127.0.0.1:${server.port}`, registries: [] }), {
    code: "E_LISTEN",
    hint: /another program has this port/,
  });
});

test("addresses to listen on", () => {
  assert.deepEqual(parseListen("[::]:80"), { host: "::", port: 80 });
  assert.deepEqual(parseListen("0.0.0.0:4244"), { host: "0.0.0.0", port: 4244 });
  for (const bad of ["", "80", "host", "::1:80", "a:70000"])
    assert.throws(() => parseListen(bad), { code: "E_CONFIG" });
});
