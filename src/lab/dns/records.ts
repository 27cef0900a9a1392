// SPDX-License-Identifier: Apache-2.0
import { type Address, family, parseAddress } from "#model/ip.ts";
import type { EndpointSlice, Service } from "../objects.ts";
import { type DnsRecord, type Question, RecordType, ResponseCode } from "./wire.ts";

export const CLUSTER_DOMAIN = "cluster.local";
const TTL_SEC = 5;

/** What names are made of; read at every question. */
export interface DnsView {
  service(namespace: string, name: string): Service | undefined;
  slices(namespace: string, service: string): Iterable<EndpointSlice>;
  hasNamespace(namespace: string): boolean;
}

export interface DnsAnswer {
  readonly code: number;
  readonly records: readonly DnsRecord[];
}

const nxDomain: DnsAnswer = { code: ResponseCode.nxDomain, records: [] };
const empty: DnsAnswer = { code: ResponseCode.ok, records: [] };

/** Answers by the Kubernetes DNS specification 1.1: services, headless endpoints, SRV, pod addresses, PTR. Pure. */
export function resolveName(view: DnsView, { name, type }: Question): DnsAnswer {
  const domain = `.${CLUSTER_DOMAIN}`;
  if (name === CLUSTER_DOMAIN) return empty;
  if (name.endsWith(".in-addr.arpa") || name.endsWith(".ip6.arpa")) return nxDomain;
  if (!name.endsWith(domain)) return nxDomain;
  const labels = name.slice(0, -domain.length).split(".");
  const zone = labels.pop();
  if (zone === "pod") return podAnswer(view, { name, type }, labels);
  if (zone !== "svc" || labels.length === 0) return zone === "svc" ? empty : nxDomain;
  const namespace = labels.pop()!;
  const service = labels.pop();
  if (service === undefined) return view.hasNamespace(namespace) ? empty : nxDomain;
  const object = view.service(namespace, service);
  if (!object) return nxDomain;
  return serviceAnswer(view, object, { name, type }, labels);
}

function serviceAnswer(
  view: DnsView,
  service: Service,
  question: Question,
  labels: readonly string[],
): DnsAnswer {
  const { namespace = "", name } = service.metadata;
  if (service.spec.type === "ExternalName") {
    if (labels.length > 0) return nxDomain;
    return ok([
      { name: question.name, ttlSec: TTL_SEC, type: "CNAME", target: service.spec.externalName ?? "" },
    ]);
  }
  const headless = service.spec.clusterIP === "None";
  if (labels.length === 2) return srvAnswer(view, service, question, labels);
  if (!headless) {
    if (labels.length > 0) return nxDomain;
    return addresses(
      question,
      service.spec.clusterIPs ?? (service.spec.clusterIP ? [service.spec.clusterIP] : []),
    );
  }
  const endpoints = [...view.slices(namespace, name)].flatMap((slice) => slice.endpoints ?? []);
  const visible = endpoints.filter(
    (one) => one.conditions?.ready !== false || service.spec.publishNotReadyAddresses,
  );
  if (labels.length === 0)
    return addresses(
      question,
      visible.flatMap((one) => one.addresses),
    );
  const wanted = visible.filter((one) => (one.hostname ?? dashed(one.addresses[0] ?? "")) === labels[0]);
  return wanted.length === 0
    ? nxDomain
    : addresses(
        question,
        wanted.flatMap((one) => one.addresses),
      );
}

/** `_http._tcp.web.shop.svc…`: the Service's port, or for a headless one each endpoint's. */
function srvAnswer(
  view: DnsView,
  service: Service,
  question: Question,
  labels: readonly string[],
): DnsAnswer {
  const [port, protocol] = [labels[0]?.replace(/^_/, ""), labels[1]?.replace(/^_/, "").toUpperCase()];
  const { namespace = "", name } = service.metadata;
  const found = (service.spec.ports ?? []).find(
    (one) => one.name === port && (one.protocol ?? "TCP") === protocol,
  );
  if (!found) return nxDomain;
  if (question.type !== RecordType.SRV && question.type !== RecordType.ANY) return empty;
  const base = `${name}.${namespace}.svc.${CLUSTER_DOMAIN}`;
  const record = (target: string, number: number): DnsRecord => ({
    name: question.name,
    ttlSec: TTL_SEC,
    type: "SRV",
    priority: 0,
    weight: 100,
    port: number,
    target,
  });
  if (service.spec.clusterIP !== "None") return ok([record(base, found.port)]);
  return ok(
    [...view.slices(namespace, name)].flatMap((slice) => {
      const number = slice.ports?.find((one) => (one.name ?? "") === (port ?? ""))?.port ?? found.port;
      return (slice.endpoints ?? []).map((one) =>
        record(`${one.hostname ?? dashed(one.addresses[0] ?? "")}.${base}`, number),
      );
    }),
  );
}

/** `10-244-1-5.shop.pod.cluster.local`. */
function podAnswer(view: DnsView, question: Question, labels: readonly string[]): DnsAnswer {
  const [text, namespace] = labels;
  if (labels.length !== 2 || text === undefined || namespace === undefined || !view.hasNamespace(namespace))
    return nxDomain;
  try {
    return addresses(question, [
      parseAddress(/^\d+-\d+-\d+-\d+$/.test(text) ? text.replaceAll("-", ".") : text.replaceAll("-", ":")),
    ]);
  } catch {
    return nxDomain;
  }
}

function addresses(question: Question, list: readonly string[]): DnsAnswer {
  const records = list
    .map((text) => parseAddress(text))
    .filter((address: Address) => wantsFamily(question.type, family(address)))
    .map(
      (address): DnsRecord => ({
        name: question.name,
        ttlSec: TTL_SEC,
        type: family(address) === 4 ? "A" : "AAAA",
        address,
      }),
    );
  return ok(records);
}

function wantsFamily(type: number, version: 4 | 6): boolean {
  return type === RecordType.ANY || type === (version === 4 ? RecordType.A : RecordType.AAAA);
}

function dashed(address: string): string {
  return address.replaceAll(/[.:]/g, "-");
}

function ok(records: readonly DnsRecord[]): DnsAnswer {
  return { code: ResponseCode.ok, records };
}
