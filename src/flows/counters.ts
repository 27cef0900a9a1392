// SPDX-License-Identifier: Apache-2.0

import { EventFlag, EventType, RuleNumber } from "#datapath/layouts/enums.ts";
import { FlowEventOffset } from "#datapath/layouts/flow-event.ts";
import { IpProtocol } from "./names.ts";
import { deniedReasons } from "./policies.ts";

/** Ports counted one by one; what comes after so many different ones is counted under port 0. */
const maxPorts = 1_024;
const rateSeconds = 60;

/** Counts by a key that packs several small numbers. */
export type Packed = Map<number, number>;

/** Counts made at ingest, cheaply: numbers only. {@link flowMetrics} turns them into Prometheus counters when asked. */
export class FlowCounters {
  seen = 0;
  /** Key: type, sub type, protocol, verdict. */
  readonly flows: Packed = new Map();
  /** Key: reason, protocol. */
  readonly drops: Packed = new Map();
  /** Key: index of the flag name (SYN, SYN-ACK, FIN, RST), IPv6. */
  readonly tcpFlags: Packed = new Map();
  /** Key: protocol, port (two numbers). */
  readonly ports: Packed = new Map();
  /** Key: IPv6, type, code. */
  readonly icmp: Packed = new Map();
  /** Key: direction (0 egress, 1 ingress), matched a rule, action (0 forwarded, 1 dropped, 2 audit). */
  readonly verdicts: Packed = new Map();
  /** Key: flow.LostEventSource. */
  readonly lost: Packed = new Map();
  readonly #perSecond = new Float64Array(rateSeconds);
  #second = Math.floor(performance.now() / 1_000);
  readonly #startSecond = this.#second;

  count(view: DataView, offset: number): void {
    this.seen++;
    const type = view.getUint8(offset + FlowEventOffset.type);
    const proto = view.getUint8(offset + FlowEventOffset.proto);
    const flags = view.getUint16(offset + FlowEventOffset.flags, true);
    const reason = view.getUint8(offset + FlowEventOffset.reason);
    const dropped = type === EventType.drop;
    const subType = dropped ? reason : view.getUint8(offset + FlowEventOffset.point);
    const verdict = dropped ? 1 : (flags & EventFlag.audit) !== 0 ? 2 : 0;
    bump(this.flows, ((type * 256 + subType) * 256 + proto) * 4 + verdict);
    if (dropped)
      bump(this.drops, reason * 256 + proto, 1 + view.getUint32(offset + FlowEventOffset.untold, true));
    else this.#countForwarded(view, offset, proto, flags);
    this.#countVerdicts(view, offset, flags, dropped && deniedReasons.has(reason));
  }

  countLost(count: number, source: number): void {
    bump(this.lost, source, count);
  }

  /** Notes a batch for {@link flowsPerSecond}. `nowMs` is of performance.now(). */
  rate(nowMs: number, received: number): void {
    const second = Math.floor(nowMs / 1_000);
    const ahead = Math.min(second - this.#second, rateSeconds);
    for (let i = 1; i <= ahead; i++) this.#perSecond[(this.#second + i) % rateSeconds] = 0;
    if (second > this.#second) this.#second = second;
    this.#perSecond[this.#second % rateSeconds]! += received;
  }

  /** Mean of the last minute, or of the time since start. */
  flowsPerSecond(nowMs: number): number {
    this.rate(nowMs, 0);
    let sum = 0;
    for (const count of this.#perSecond) sum += count;
    return sum / Math.min(rateSeconds, Math.max(1, this.#second - this.#startSecond + 1));
  }

  #countForwarded(view: DataView, offset: number, proto: number, flags: number): void {
    const isIPv6 = (flags & EventFlag.ipv6) !== 0 ? 1 : 0;
    const reply = (flags & EventFlag.reply) !== 0;
    if (proto === IpProtocol.tcp) {
      const bits = view.getUint8(offset + FlowEventOffset.tcpFlags);
      if ((bits & 0x02) !== 0) bump(this.tcpFlags, ((bits & 0x10) !== 0 ? 2 : 0) + isIPv6);
      if ((bits & 0x01) !== 0) bump(this.tcpFlags, 4 + isIPv6);
      if ((bits & 0x04) !== 0) bump(this.tcpFlags, 6 + isIPv6);
    } else if (proto === IpProtocol.icmp || proto === IpProtocol.icmp6) {
      const [icmpType, code] = [
        view.getUint16(offset + FlowEventOffset.sport),
        view.getUint16(offset + FlowEventOffset.dport),
      ];
      bump(this.icmp, (isIPv6 * 256 + (icmpType & 0xff)) * 256 + (code & 0xff));
      return;
    }
    if (reply) return;
    const key = proto * 65_536 + view.getUint16(offset + FlowEventOffset.dport);
    bump(this.ports, this.ports.size < maxPorts || this.ports.has(key) ? key : proto * 65_536);
  }

  /** Each policy that judged a new connection is one verdict; packets of a known one are judged by nobody. */
  #countVerdicts(view: DataView, offset: number, flags: number, denied: boolean): void {
    const ingressDecides = (flags & EventFlag.ingress) !== 0;
    const audited = (flags & EventFlag.audit) !== 0;
    const no = audited ? 2 : 1;
    for (const ingress of [0, 1] as const) {
      const decides = (denied || audited) && (ingress === 1) === ingressDecides;
      const judged = (flags & (ingress === 1 ? EventFlag.ingressJudged : EventFlag.egressJudged)) !== 0;
      if (!decides && !judged) continue;
      const rule = view.getUint32(
        offset + (ingress === 1 ? FlowEventOffset.ingressRule : FlowEventOffset.egressRule),
        true,
      );
      // Denied before any policy was asked.
      if (rule === RuleNumber.prefilter) continue;
      bump(this.verdicts, ingress * 8 + (rule !== 0 ? 4 : 0) + (decides ? no : 0));
    }
  }
}

function bump(counts: Packed, key: number, by = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}
