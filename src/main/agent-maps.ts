// SPDX-License-Identifier: Apache-2.0
import type { TableDump } from "#agent/api.ts";
import { mapDump } from "#agent/maps.ts";
import {
  CtFlag,
  CtKind,
  ctFlagNames,
  ctKindNames,
  dropReasonNames,
  egressFlagNames,
  endpointFlagNames,
  lbFlagNames,
  MetricIndex,
} from "#datapath/layouts/enums.ts";
import { l2ResponderLayout } from "#datapath/layouts/l2-responder.ts";
import { l2ResponderKeyLayout } from "#datapath/layouts/l2-responder-key.ts";
import { metricLayout } from "#datapath/layouts/metric.ts";
import type { Datapath } from "#datapath/load.ts";
import type { DatapathMaps } from "#datapath/maps.ts";
import { prefixOfKey } from "#datapath/prefix-key.ts";
import { egressKeyText } from "#egress/ops.ts";
import { typedMap } from "#kernel/bpf/typed-map.ts";
import { readPolicies } from "#policy/ops.ts";
import { KernelPrefilter } from "#prefilter/kernel.ts";
import { serviceMaps } from "#services/maps.ts";
import { protoName, tupleText } from "#services/service.ts";
import { slotsOfRows } from "#services/slot-rows.ts";
import type { AgentTables } from "./agent-tables.ts";

/** The kernel's maps as the command shows them, read when asked. */
export function agentMaps(
  maps: DatapathMaps,
  datapath: Datapath,
  tables: AgentTables,
): Record<string, () => TableDump> {
  return {
    endpoints: endpointsDump(maps),
    ipcache: mapDump(
      "ipcache",
      [
        { name: "PREFIX", of: ([key]) => prefixOfKey(key) },
        { name: "IDENTITY", of: ([, value]) => value.identity },
        { name: "TUNNEL", of: ([, value]) => value.tunnel ?? "" },
      ],
      () => maps.ipcache.entries(),
    ),
    blocks: mapDump(
      "blocks",
      [
        { name: "PREFIX", of: ([key]) => prefixOfKey(key) },
        { name: "IDENTITY", of: ([, identity]) => identity },
      ],
      () => maps.blocks.entries(),
    ),
    egress: mapDump(
      "egress",
      [
        { name: "SOURCE", of: ([key]) => key.saddr },
        { name: "DESTINATION", of: ([key]) => egressKeyText(key).split(" ")[1] },
        { name: "TUNNEL", of: ([, value]) => value.node ?? "" },
        { name: "ADDRESS", of: ([, value]) => value.address ?? "" },
        { name: "FLAGS", of: ([, value]) => flagText(value.flags, egressFlagNames) },
      ],
      () => maps.egress.entries(),
    ),
    masquerade: mapDump("masquerade", [{ name: "EXEMPT", of: ([key]) => prefixOfKey(key) }], () =>
      maps.masqExempt.entries(),
    ),
    ct: conntrackDump(maps),
    prefilter: mapDump("prefilter", [{ name: "CIDR", of: (cidr) => cidr }], () =>
      new KernelPrefilter((name) => datapath.map(name)).denied(),
    ),
    nat: mapDump(
      "nat",
      [
        { name: "PROTOCOL", of: ([key]) => protocol(key.proto) },
        { name: "DIRECTION", of: ([key]) => (key.reply ? "reply" : "sent") },
        { name: "SOURCE", of: ([key]) => place(key.saddr, key.sport) },
        { name: "DESTINATION", of: ([key]) => place(key.daddr, key.dport) },
        { name: "BECOMES", of: ([, value]) => (value.addr ? place(value.addr, value.port) : "") },
      ],
      () => maps.nat.entries(),
    ),
    lb: lbDump(datapath),
    l2: l2Dump(datapath),
    policy: policyDump(datapath, tables),
    metrics: metricsDump(datapath),
  };
}

function place(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

function protocol(number: number): string {
  if (number === 1) return "ICMP";
  return number === 58 ? "ICMPv6" : protoName(number);
}

function flagText(flags: number, names: ReadonlyMap<number, string>): string {
  return [...names]
    .filter(([bit]) => (flags & bit) !== 0)
    .map(([, name]) => name.toLowerCase())
    .join(",");
}

function endpointsDump(maps: DatapathMaps): () => TableDump {
  return mapDump(
    "endpoints",
    [
      { name: "ID", of: ([, e]) => e.id },
      { name: "IFINDEX", of: ([ifindex]) => ifindex },
      { name: "IDENTITY", of: ([, e]) => e.identity },
      { name: "IPV4", of: ([, e]) => e.v4 ?? "" },
      { name: "IPV6", of: ([, e]) => e.v6 ?? "" },
      { name: "POLICY", of: ([, e]) => e.policyId },
      { name: "REVISION", of: ([, e]) => e.policyRev },
      { name: "FLAGS", of: ([, e]) => flagText(e.flags, endpointFlagNames) },
      { name: "MAC", of: ([, e]) => e.mac, wide: true },
      { name: "HOST-MAC", of: ([, e]) => e.hostMac, wide: true },
    ],
    () => maps.endpointsByIfindex.entries(),
  );
}

function conntrackDump(maps: DatapathMaps): () => TableDump {
  return mapDump(
    "ct",
    [
      { name: "PROTOCOL", of: ([key]) => protocol(key.proto) },
      { name: "KIND", of: ([key]) => (ctKindNames.get(key.kind) ?? "").toLowerCase() },
      {
        name: "SOURCE",
        of: ([key, e]) =>
          began(key.kind, e.flags) ? place(key.high, key.highPort) : place(key.low, key.lowPort),
      },
      {
        name: "DESTINATION",
        of: ([key, e]) =>
          began(key.kind, e.flags) ? place(key.low, key.lowPort) : place(key.high, key.highPort),
      },
      { name: "FROM", of: ([, e]) => e.srcIdentity },
      { name: "TO", of: ([, e]) => e.dstIdentity },
      { name: "PACKETS", of: ([, e]) => e.packets.join("/") },
      // A service entry counts no bytes: its backend stands there.
      { name: "BYTES", of: ([key, e]) => (key.kind === CtKind.service ? "" : e.bytes.join("/")) },
      { name: "FLAGS", of: ([, e]) => flagText(e.flags & ~CtFlag.highBegan, ctFlagNames) },
      { name: "EXPIRES-SEC", of: ([, e]) => e.expiresSec, wide: true },
    ],
    () => maps.conntrack.entries(),
  );
}

/** A service entry's key is as the packet was sent; a flow's says by a flag which pair began. */
function began(kind: number, flags: number): boolean {
  return kind === CtKind.flow && (flags & CtFlag.highBegan) !== 0;
}

function lbDump(datapath: Datapath): () => TableDump {
  const { frontends, slots, backends } = serviceMaps((name) => datapath.map(name));
  const rows = function* () {
    const targets = new Map(
      [...backends.entries()].map(([{ id }, b]) => [
        id,
        b.addr ? tupleText({ address: b.addr, port: b.port, proto: b.proto }) : "",
      ]),
    );
    const used = slotsOfRows(slots.entries());
    const shown = (backend: number | undefined = 0) =>
      targets.get(backend) ?? `backend ${backend} is missing`;
    for (const [key, frontend] of frontends.entries())
      yield {
        key,
        frontend,
        backends: Array.from((used.get(frontend.id) ?? []).slice(0, frontend.count), shown),
      };
  };
  return mapDump(
    "lb",
    [
      {
        name: "FRONTEND",
        of: (row) => tupleText({ address: row.key.addr, port: row.key.port, proto: row.key.proto }),
      },
      { name: "ID", of: (row) => row.frontend.id },
      { name: "FLAGS", of: (row) => flagText(row.frontend.flags, lbFlagNames) },
      { name: "BACKENDS", of: (row) => row.backends.join(", ") },
    ],
    rows,
  );
}

function l2Dump(datapath: Datapath): () => TableDump {
  const map = typedMap(datapath.map("l2_responders"), l2ResponderKeyLayout, l2ResponderLayout);
  const nowSec = () => Number(process.hrtime.bigint() / 1_000_000_000n);
  return mapDump(
    "l2",
    [
      { name: "ADDRESS", of: ([{ addr }]) => addr },
      { name: "IFINDEX", of: ([{ ifindex }]) => ifindex },
      { name: "MAC", of: ([, { mac }]) => mac },
      { name: "LEFT-SEC", of: ([, { until }]) => Math.max(0, until - nowSec()) },
    ],
    () => map.entries(),
  );
}

function policyDump(datapath: Datapath, tables: AgentTables): () => TableDump {
  const rows = function* () {
    for (const [id, entries] of readPolicies(datapath.map("policies")))
      for (const entry of entries) yield { id, entry };
  };
  const ports = (port: number, bits: number) =>
    bits === 0 ? "any" : bits === 16 ? String(port) : `${port}-${port + (1 << (16 - bits)) - 1}`;
  return mapDump(
    "policy",
    [
      { name: "POLICY", of: (row) => row.id },
      { name: "DIRECTION", of: ({ entry }) => entry.direction },
      { name: "ROUND", of: ({ entry }) => entry.round ?? 1 },
      { name: "VERDICT", of: ({ entry }) => (entry.audit ? `${entry.verdict} in audit` : entry.verdict) },
      { name: "PEER", of: ({ entry }) => (entry.identity === 0 ? "any" : entry.identity) },
      { name: "PROTOCOL", of: ({ entry }) => (entry.proto === 0 ? "any" : protocol(entry.proto)) },
      { name: "PORT", of: ({ entry }) => ports(entry.port, entry.portBits) },
      { name: "PRECEDENCE", of: ({ entry }) => entry.precedence },
      {
        name: "RULE",
        of: ({ entry }) => {
          const origins = tables.policyRules.get(String(entry.rule))?.origins ?? [];
          return origins
            .map((o) => (o.namespace ? `${o.kind} ${o.namespace}/${o.name}` : `${o.kind} ${o.name}`))
            .join(", ");
        },
      },
    ],
    rows,
  );
}

function metricsDump(datapath: Datapath): () => TableDump {
  const map = datapath.map("metrics");
  const rows = function* () {
    for (const [keyBytes, values] of map.entries()) {
      const index = new DataView(keyBytes.buffer, keyBytes.byteOffset).getUint32(0, true);
      const key = {
        reason: index % MetricIndex.direction,
        direction: Math.floor(index / MetricIndex.direction),
      };
      let packets = 0n;
      let bytes = 0n;
      const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
      for (let at = 0; at + metricLayout.size <= view.byteLength; at += metricLayout.size) {
        const value = metricLayout.read(view, at);
        packets += value.packets;
        bytes += value.bytes;
      }
      if (packets > 0n) yield { key, packets, bytes };
    }
  };
  return mapDump(
    "metrics",
    [
      {
        name: "REASON",
        of: (row) =>
          row.key.reason === 0
            ? "forwarded"
            : (dropReasonNames.get(row.key.reason) ?? String(row.key.reason)),
      },
      { name: "DIRECTION", of: (row) => (row.key.direction === 0 ? "ingress" : "egress") },
      { name: "PACKETS", of: (row) => Number(row.packets) },
      { name: "BYTES", of: (row) => Number(row.bytes) },
    ],
    rows,
  );
}
