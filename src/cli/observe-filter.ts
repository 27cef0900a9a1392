// SPDX-License-Identifier: Apache-2.0
import { create, type DescEnum, equals, type MessageInitShape, toJsonString } from "@bufbuild/protobuf";
import {
  type DropReason,
  DropReasonSchema,
  type FlowFilter,
  FlowFilterSchema,
  IPVersion,
  TCPFlagsSchema,
  TrafficDirection,
  type Verdict,
  VerdictSchema,
  type Workload,
  WorkloadSchema,
} from "#api/gen/flow/flow_pb.ts";
import { enumNumber } from "#flows/enum-names.ts";
import { EventType, eventTypeNames, tracePointNames } from "#flows/names.ts";
import { WeftError } from "#lib/errors.ts";
import { reservedNames } from "#model/identity.ts";

type Side = "source" | "destination";
type Apply = (filter: FlowFilter, value: string) => void;

/** Filters that look at one side of a flow. `--pod` is either side, `--from-pod` and `--to-pod` one. */
const sided: Readonly<Record<string, (side: Side) => Apply>> = {
  pod: (side) => (filter, value) => filter[`${side}Pod`].push(value),
  fqdn: (side) => (filter, value) => filter[`${side}Fqdn`].push(value),
  ip: (side) => (filter, value) => filter[`${side}Ip`].push(value),
  label: (side) => (filter, value) => filter[`${side}Label`].push(value),
  service: (side) => (filter, value) => filter[`${side}Service`].push(value),
  port: (side) => (filter, value) => filter[`${side}Port`].push(value),
  workload: (side) => (filter, value) => filter[`${side}Workload`].push(parseWorkload(value)),
  identity: (side) => (filter, value) => filter[`${side}Identity`].push(parseIdentity(value)),
  cluster: (side) => (filter, value) => filter[`${side}ClusterName`].push(value),
};

const plain: Readonly<Record<string, Apply>> = {
  uuid: (filter, value) => filter.uuid.push(value),
  "node-name": (filter, value) => filter.nodeName.push(value),
  "node-label": (filter, value) => filter.nodeLabels.push(value),
  "snat-ip": (filter, value) => filter.sourceIpXlated.push(value),
  protocol: (filter, value) => filter.protocol.push(value),
  "tcp-flags": (filter, value) => filter.tcpFlags.push(parseTcpFlags(value)),
  type: (filter, value) => filter.eventType.push(parseType(value)),
  verdict: (filter, value) => filter.verdict.push(named(VerdictSchema, "verdict", value) as Verdict),
  "drop-reason-desc": (filter, value) =>
    filter.dropReasonDesc.push(named(DropReasonSchema, "drop-reason-desc", value) as DropReason),
  "ip-version": (filter, value) => filter.ipVersion.push(parseIpVersion(value)),
  ipv4: (filter) => filter.ipVersion.push(IPVersion.IPv4),
  ipv6: (filter) => filter.ipVersion.push(IPVersion.IPv6),
  "traffic-direction": (filter, value) => filter.trafficDirection.push(parseDirection(value)),
  reply: (filter, value) => filter.reply.push(value !== "false"),
  interface: (filter, value) =>
    filter.interface.push(create(FlowFilterSchema, { interface: [{ name: value }] }).interface[0]!),
  "http-status": (filter, value) => filter.httpStatusCode.push(value),
  "http-method": (filter, value) => filter.httpMethod.push(value),
  "http-path": (filter, value) => filter.httpPath.push(value),
};

/** The filters given on a command line, in their order: the same twice is "or", different ones are "and". */
class FilterSet {
  readonly #source = create(FlowFilterSchema);
  readonly #destination = create(FlowFilterSchema);
  readonly #namespaces: Record<"any" | Side, string[]> = { any: [], source: [], destination: [] };
  readonly #used = new Set<string>();

  add(name: string, value: string): void {
    this.#used.add(name);
    const [, direction, base] = /^(?:(from|to)-)?(.+)$/.exec(name)!;
    this.#checkConflict(direction, base!);
    if (base === "namespace" || base === "all-namespaces") {
      const side = direction === undefined ? "any" : direction === "from" ? "source" : "destination";
      this.#namespaces[side].push(base === "namespace" ? value : "");
      return;
    }
    const apply = plain[name];
    if (apply) {
      apply(this.#source, value);
      apply(this.#destination, value);
      return;
    }
    const onSide = sided[base!]!;
    if (direction === undefined) {
      onSide("source")(this.#source, value);
      onSide("destination")(this.#destination, value);
      return;
    }
    const one = onSide(direction === "from" ? "source" : "destination");
    one(this.#source, value);
    one(this.#destination, value);
  }

  /** One filter, or two when either side of a flow may match; none when nothing was given. */
  filters(): FlowFilter[] {
    if (this.#used.size === 0) return [];
    const { any, source, destination } = this.#namespaces;
    addNamespaces(this.#source, "source", [...any, ...source]);
    addNamespaces(this.#destination, "destination", [...any, ...destination]);
    addNamespaces(this.#source, "destination", destination);
    addNamespaces(this.#destination, "source", source);
    return equals(FlowFilterSchema, this.#source, this.#destination)
      ? [this.#source]
      : [this.#source, this.#destination];
  }

  #checkConflict(direction: string | undefined, base: string): void {
    const others = direction === undefined ? [`from-${base}`, `to-${base}`] : [base];
    const conflict = others.find((other) => this.#used.has(other));
    if (conflict === undefined) return;
    const name = direction === undefined ? base : `${direction}-${base}`;
    throw new WeftError("E_USAGE", `filters --${conflict} and --${name} cannot be combined`);
  }
}

/** A namespace qualifies pod and service names given without one; alone it selects every pod of it. */
function addNamespaces(filter: FlowFilter, side: Side, namespaces: readonly string[]): void {
  if (namespaces.length === 0) return;
  const [pods, services] = [filter[`${side}Pod`], filter[`${side}Service`]];
  if (pods.length === 0 && services.length === 0) pods.push("");
  for (const names of [pods, services]) {
    const qualified = names.flatMap((name) =>
      name.includes("/") ? [name] : namespaces.map((namespace) => `${namespace}/${name}`),
    );
    names.splice(0, names.length, ...qualified);
  }
}

/** Collects the filter options of a command line as they come; `--not` turns the next one around. */
export class FilterArguments {
  readonly #allow = new FilterSet();
  readonly #deny = new FilterSet();
  #negate = false;

  /** @throws WeftError E_USAGE for a bad value or combination */
  add(name: string, value: string): void {
    if (name === "not") {
      if (this.#negate) throw new WeftError("E_USAGE", "--not twice in a row");
      this.#negate = true;
      return;
    }
    (this.#negate ? this.#deny : this.#allow).add(name, value);
    this.#negate = false;
  }

  /** @throws WeftError E_USAGE when a --not is left over */
  result(): { whitelist: FlowFilter[]; blacklist: FlowFilter[] } {
    if (this.#negate) throw new WeftError("E_USAGE", "--not is not followed by a filter");
    return { whitelist: this.#allow.filters(), blacklist: this.#deny.filters() };
  }
}

export function filterText(filter: FlowFilter): string {
  return toJsonString(FlowFilterSchema, filter, { useProtoFieldName: true });
}

function parseWorkload(text: string): Workload {
  const slash = text.indexOf("/");
  return create(
    WorkloadSchema,
    slash < 0 ? { name: text } : { kind: text.slice(0, slash), name: text.slice(slash + 1) },
  );
}

function parseIdentity(text: string): number {
  const name = text.replace(/^reserved:/, "");
  for (const [number, reserved] of reservedNames) if (reserved === name) return number;
  if (/^\d{1,10}$/.test(text) && Number(text) <= 0xffffffff) return Number(text);
  throw new WeftError(
    "E_USAGE",
    `--identity: "${text}" is neither a number nor one of ${[...reservedNames.values()].join(", ")}`,
  );
}

const flagNames = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS"] as const;

function parseTcpFlags(text: string) {
  const flags: MessageInitShape<typeof TCPFlagsSchema> = create(TCPFlagsSchema);
  for (const part of text.toUpperCase().split(",")) {
    const flag = flagNames.find((name) => name === part);
    if (!flag)
      throw new WeftError("E_USAGE", `--tcp-flags: unknown flag "${part}"`, {
        hint: `one of ${flagNames.join(", ")}`,
      });
    flags[flag] = true;
  }
  return create(TCPFlagsSchema, flags);
}

/** `drop`, `trace:to-endpoint`, `policy-verdict`, numbers. */
function parseType(text: string) {
  const [type, subType] = text.split(":", 2) as [string, string | undefined];
  const number = [...eventTypeNames].find(([, name]) => name === type)?.[0] ?? numeric(type, "type");
  const filter = create(FlowFilterSchema, { eventType: [{ type: number }] }).eventType[0]!;
  if (subType === undefined) return filter;
  const point =
    number === EventType.trace ? [...tracePointNames].find(([, name]) => name === subType)?.[0] : undefined;
  filter.matchSubType = true;
  filter.subType = point ?? numeric(subType, "type");
  return filter;
}

function parseIpVersion(text: string): IPVersion {
  const version = /^(?:ip)?v?([46])$/i.exec(text)?.[1];
  if (version === undefined && text.toLowerCase() !== "none")
    throw new WeftError("E_USAGE", `--ip-version: "${text}" is not v4, v6 or none`);
  return version === undefined ? IPVersion.IP_NOT_USED : version === "4" ? IPVersion.IPv4 : IPVersion.IPv6;
}

function parseDirection(text: string): TrafficDirection {
  const direction = text.toLowerCase();
  if (direction !== "ingress" && direction !== "egress")
    throw new WeftError("E_USAGE", `--traffic-direction: "${text}" is not ingress or egress`);
  return direction === "ingress" ? TrafficDirection.INGRESS : TrafficDirection.EGRESS;
}

function numeric(text: string, option: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new WeftError("E_USAGE", `--${option}: "${text}" is not known`);
  return Number(text);
}

function named(schema: DescEnum, option: string, value: string): number {
  const number = enumNumber(schema, value.toUpperCase());
  if (number !== undefined) return number;
  throw new WeftError("E_USAGE", `--${option}: "${value}" is not known`, {
    hint: `one of ${schema.values.map(({ name }) => name).join(", ")}`,
  });
}
