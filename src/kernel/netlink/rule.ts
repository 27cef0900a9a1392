// SPDX-License-Identifier: Apache-2.0

import { hasErrno } from "#kernel/errno.ts";
import { decodeAttributes, type Message, MessageWriter, numberOf, textOf } from "#kernel/netlink/codec.ts";
import { type Netlink, NLM_F_CREATE, NLM_F_EXCL } from "#kernel/netlink/handle.ts";
import { inetBytes, inetPrefix } from "#kernel/netlink/inet.ts";
import { AF_INET, AF_INET6 } from "#kernel/socket.ts";
import { type Family, type Prefix, prefixBits } from "#model/ip.ts";

/** A rule of the routing policy database. */
export interface Rule {
  readonly family: Family;
  /** Lower comes first. */
  readonly priority: number;
  /** Where matching packets are routed; absent with another action than `table`. */
  readonly table?: number;
  /** Default `table`. */
  readonly action?: keyof typeof ACTIONS;
  readonly from?: Prefix;
  readonly to?: Prefix;
  readonly mark?: number;
  /** Default with a mark: all bits. */
  readonly mask?: number;
  readonly iif?: string;
  readonly oif?: string;
}

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const RT_TABLE_COMPAT = 252;
const ACTIONS = { table: 1, blackhole: 6, unreachable: 7, prohibit: 8 } as const;

/** @throws KernelError E_NETLINK (`EEXIST`) */
export function addRule(netlink: Netlink, rule: Rule): void {
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  netlink.request({ type: RTM_NEWRULE, flags, payload: encode(rule), what: () => `add rule ${text(rule)}` });
}

/** True when there was such a rule. */
export function deleteRule(netlink: Netlink, rule: Rule): boolean {
  try {
    netlink.request({ type: RTM_DELRULE, payload: encode(rule), what: () => `delete rule ${text(rule)}` });
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return false;
    throw error;
  }
}

/** The rules of a family in the order of the kernel. */
export function listRules(netlink: Netlink, family: Family): Rule[] {
  const payload = header(family, 0, 0, {}).finish();
  return netlink.dump({ type: RTM_GETRULE, payload, what: () => `list IPv${family} rules` }).map(decode);
}

/** struct fib_rule_hdr */
function header(
  family: Family,
  table: number,
  action: number,
  { from, to }: Pick<Rule, "from" | "to">,
): MessageWriter {
  const writer = new MessageWriter().u8(family === 4 ? AF_INET : AF_INET6);
  writer.u8(to === undefined ? 0 : prefixBits(to)).u8(from === undefined ? 0 : prefixBits(from));
  return writer.u8(0).u8(table).u8(0).u8(0).u8(action).u32(0);
}

function encode(rule: Rule): Uint8Array {
  const { table = 0, action = "table" } = rule;
  const writer = header(rule.family, table < 256 ? table : RT_TABLE_COMPAT, ACTIONS[action], rule);
  writer.attributeU32(FRA_PRIORITY, rule.priority);
  if (rule.table !== undefined) writer.attributeU32(FRA_TABLE, rule.table);
  if (rule.from !== undefined) writer.attribute(FRA_SRC, inetBytes(rule.from));
  if (rule.to !== undefined) writer.attribute(FRA_DST, inetBytes(rule.to));
  if (rule.mark !== undefined) writer.attributeU32(FRA_FWMARK, rule.mark);
  if (rule.mask !== undefined) writer.attributeU32(FRA_FWMASK, rule.mask);
  if (rule.iif !== undefined) writer.attributeString(FRA_IIFNAME, rule.iif);
  if (rule.oif !== undefined) writer.attributeString(FRA_OIFNAME, rule.oif);
  return writer.finish();
}

function decode({ payload }: Message): Rule {
  const attributes = decodeAttributes(payload, 12);
  const domain = payload[0]!;
  const table = numberOf(attributes, FRA_TABLE) ?? payload[4]!;
  const action = payload[7]!;
  const from = attributes.get(FRA_SRC);
  const to = attributes.get(FRA_DST);
  const mark = numberOf(attributes, FRA_FWMARK);
  const mask = numberOf(attributes, FRA_FWMASK);
  const iif = textOf(attributes, FRA_IIFNAME);
  const oif = textOf(attributes, FRA_OIFNAME);
  return {
    family: domain === AF_INET ? 4 : 6,
    priority: numberOf(attributes, FRA_PRIORITY) ?? 0,
    action: actionName(action),
    ...(table !== 0 && { table }),
    ...(from !== undefined && { from: inetPrefix(from, payload[2]!, domain) }),
    ...(to !== undefined && { to: inetPrefix(to, payload[1]!, domain) }),
    ...(mark !== undefined && mark !== 0 && { mark }),
    ...(mask !== undefined && mask !== 0 && { mask }),
    ...(iif !== undefined && { iif }),
    ...(oif !== undefined && { oif }),
  };
}

function actionName(action: number): keyof typeof ACTIONS {
  if (action === ACTIONS.blackhole) return "blackhole";
  if (action === ACTIONS.unreachable) return "unreachable";
  return action === ACTIONS.prohibit ? "prohibit" : "table";
}

function text({ family, priority, table, action }: Rule): string {
  return `${priority} (IPv${family}) to ${table === undefined ? action : `table ${table}`}`;
}
