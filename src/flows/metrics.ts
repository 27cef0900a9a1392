// SPDX-License-Identifier: Apache-2.0

import { Counter, Gauge, Registry } from "prom-client";
import { DropReasonSchema, LostEventSourceSchema } from "#api/gen/flow/flow_pb.ts";
import { EventType } from "#datapath/layouts/enums.ts";
import type { FlowCounters, Packed } from "./counters.ts";
import { enumName } from "./enum-names.ts";
import { icmp4Text, icmp6Text } from "./icmp.ts";
import { protocolText, tracePointNames } from "./names.ts";
import type { FlowRing } from "./ring.ts";

const families = ["IPv4", "IPv6"];
const flagNames = ["SYN", "SYN-ACK", "FIN", "RST"];
const flowVerdicts = ["FORWARDED", "DROPPED", "AUDIT"];
const flowTypes: ReadonlyMap<number, string> = new Map([
  [EventType.drop, "Drop"],
  [EventType.trace, "Trace"],
  [EventType.verdict, "PolicyVerdict"],
]);

/**
 * The flow metrics, by Hubble's names and labels. Counting happens at ingest with plain numbers; the counters here are brought
 * up to date when somebody asks.
 */
export function flowMetrics(counters: FlowCounters, ring: FlowRing): Registry {
  const registry = new Registry();
  const counter = (
    name: string,
    help: string,
    labelNames: string[],
    counts: Packed,
    labels: (key: number) => string[],
  ) => liveCounter({ registry, name: `hubble_${name}`, help, labelNames, counts, labels });

  counter(
    "flows_processed_total",
    "Flows seen",
    ["protocol", "subtype", "type", "verdict"],
    counters.flows,
    flowLabels,
  );
  counter("drop_total", "Packets dropped", ["protocol", "reason"], counters.drops, (key) => [
    protocolText(key & 0xff),
    dropName(key >>> 8),
  ]);
  counter("tcp_flags_total", "TCP flags seen", ["family", "flag"], counters.tcpFlags, (key) => [
    families[key & 1]!,
    flagNames[key >>> 1]!,
  ]);
  counter(
    "port_distribution_total",
    "Flows by destination port",
    ["port", "protocol"],
    counters.ports,
    (key) => [String(key % 65_536), protocolText(Math.floor(key / 65_536))],
  );
  counter("icmp_total", "ICMP messages", ["family", "type"], counters.icmp, (key) => {
    const [type, code] = [(key >>> 8) & 0xff, key & 0xff];
    return key >= 65_536 ? ["IPv6", icmp6Text(type, code)] : ["IPv4", icmp4Text(type, code)];
  });
  counter(
    "policy_verdicts_total",
    "Connections judged by a policy",
    ["action", "direction", "match"],
    counters.verdicts,
    (key) => [
      ["forwarded", "dropped", "audit"][key & 3]!,
      key >= 8 ? "ingress" : "egress",
      (key & 4) !== 0 ? "rule" : "none",
    ],
  );
  counter("lost_events_total", "Events lost before they became flows", ["source"], counters.lost, (key) => [
    enumName(LostEventSourceSchema, key).toLowerCase(),
  ]);
  new Gauge({
    name: "weft_flows_buffered",
    help: "Flows held in memory",
    registers: [registry],
    collect() {
      this.set(ring.length);
    },
  });
  return registry;
}

interface LiveCounterOptions {
  readonly registry: Registry;
  readonly name: string;
  readonly help: string;
  readonly labelNames: string[];
  readonly counts: Packed;
  /** Values of the labels, in the order of their names. */
  labels(key: number): string[];
}

/** A counter that reads the counts anew at each scrape; two keys with the same labels are one series. */
function liveCounter({ registry, name, help, labelNames, counts, labels }: LiveCounterOptions): void {
  new Counter({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      this.reset();
      for (const [key, count] of counts) {
        const values = labels(key);
        this.inc(Object.fromEntries(labelNames.map((label, i) => [label, values[i]!])), count);
      }
    },
  });
}

/** Protocol, subtype, type, verdict. */
function flowLabels(key: number): string[] {
  const [type, subType] = [Math.floor(key / 2 ** 18), (key >>> 10) & 0xff];
  const name = type === EventType.drop ? dropName(subType) : (tracePointNames.get(subType) ?? "");
  return [protocolText((key >>> 2) & 0xff), name, flowTypes.get(type) ?? "Unknown", flowVerdicts[key & 3]!];
}

function dropName(reason: number): string {
  return enumName(DropReasonSchema, reason);
}
