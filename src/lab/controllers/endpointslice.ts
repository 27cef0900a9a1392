// SPDX-License-Identifier: Apache-2.0
import { type Cluster, kinds } from "../cluster.ts";
import { type EndpointSlice, objectKey, type Pod, type Service } from "../objects.ts";
import { canonicalJson } from "./owned-pods.ts";
import { type QueueOptions, startQueue } from "./queue.ts";
import { desiredSlices, legacySubsets, MANAGED_BY, MANAGER, SERVICE_LABEL } from "./slices.ts";

/** Services with a selector → EndpointSlices and the legacy Endpoints object. */
export function startEndpointSlices(cluster: Cluster, deps: Pick<QueueOptions, "log" | "signal">): void {
  const services = cluster.cache(kinds.service);
  const queue = startQueue({ ...deps, name: "endpointslice", reconcile: (key) => reconcile(cluster, key) });
  services.onChange(({ object }) => queue.add(objectKey(object.metadata)));
  cluster.cache(kinds.pod).onChange(({ type, object, before }) => {
    if (type === "put" && before && !matters(before, object)) return;
    for (const service of services.all()) {
      if (service.metadata.namespace !== object.metadata.namespace) continue;
      if (selects(service, object) || (before && selects(service, before)))
        queue.add(objectKey(service.metadata));
    }
  });
  for (const service of services.all()) queue.add(objectKey(service.metadata));
}

function selects(service: Service, pod: Pod): boolean {
  const wanted = Object.entries(service.spec.selector ?? {});
  return wanted.length > 0 && wanted.every(([key, value]) => pod.metadata.labels?.[key] === value);
}

function matters(before: Pod, after: Pod): boolean {
  const view = (pod: Pod) => [
    pod.metadata.labels,
    pod.metadata.deletionTimestamp,
    pod.spec.nodeName,
    pod.status?.podIPs,
    pod.status?.phase,
    pod.status?.conditions?.find((condition) => condition.type === "Ready")?.status,
  ];
  return JSON.stringify(view(before)) !== JSON.stringify(view(after));
}

async function reconcile(cluster: Cluster, key: string): Promise<undefined> {
  const service = cluster.cache(kinds.service).get(key);
  const [namespace = "", name = ""] = key.split("/");
  const present = [...cluster.cache(kinds.endpointSlice).all()].filter(
    ({ metadata }) =>
      metadata.namespace === namespace &&
      metadata.labels?.[SERVICE_LABEL] === name &&
      metadata.labels[MANAGED_BY] === MANAGER,
  );
  if (service && (!service.spec.selector || service.spec.type === "ExternalName")) return;
  const pods = service ? [...cluster.cache(kinds.pod).all()].filter((pod) => inService(service, pod)) : [];
  const wanted = service ? desiredSlices(service, pods) : [];
  await writeSlices(cluster, present, wanted);
  await writeLegacy(cluster, key, service ? { service, slices: wanted } : undefined);
}

function inService(service: Service, pod: Pod): boolean {
  return pod.metadata.namespace === service.metadata.namespace && selects(service, pod);
}

async function writeSlices(
  cluster: Cluster,
  present: EndpointSlice[],
  wanted: readonly EndpointSlice[],
): Promise<void> {
  for (const slice of wanted) {
    const old = present.find((one) => one.metadata.name === slice.metadata.name);
    if (!old) await cluster.create(kinds.endpointSlice, slice);
    else if (content(old) !== content(slice)) {
      const metadata = { ...old.metadata, labels: slice.metadata.labels ?? {} };
      await cluster.update(kinds.endpointSlice, { ...slice, metadata });
    }
  }
  const names = new Set(wanted.map((slice) => slice.metadata.name));
  for (const slice of present)
    if (!names.has(slice.metadata.name)) await cluster.remove(kinds.endpointSlice, slice);
}

function content(slice: EndpointSlice): string {
  const { endpoints, ports, metadata } = slice;
  return canonicalJson([slice.addressType, endpoints ?? [], ports ?? [], metadata.labels]);
}

interface Wanted {
  readonly service: Service;
  readonly slices: readonly EndpointSlice[];
}

async function writeLegacy(cluster: Cluster, key: string, wanted: Wanted | undefined): Promise<void> {
  const old = cluster.cache(kinds.endpoints).get(key);
  if (!wanted) {
    if (old) await cluster.remove(kinds.endpoints, old);
    return;
  }
  const { service, slices } = wanted;
  const subsets = legacySubsets(slices, service.spec.ipFamilies?.[0] ?? "IPv4");
  if (old && canonicalJson(old.subsets ?? []) === canonicalJson(subsets)) return;
  const metadata = { name: service.metadata.name, namespace: service.metadata.namespace ?? "default" };
  const object = { apiVersion: "v1", kind: "Endpoints", metadata: old?.metadata ?? metadata, subsets };
  if (old) await cluster.update(kinds.endpoints, object);
  else await cluster.create(kinds.endpoints, object);
}
