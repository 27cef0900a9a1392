// SPDX-License-Identifier: Apache-2.0

/**
 * Security-relevant labels of a workload, source-prefixed as on the wire (`k8s:app=web`, `reserved:host`,
 * `k8s:io.kubernetes.pod.namespace=shop`, `cidr:10.0.0.0/8`): key with source -> value ("" when it has none).
 */
export type Labels = ReadonlyMap<string, string>;

/** `["k8s:app=web"]` sorted: canonical, so equal label sets have equal texts. */
export function labelList(labels: Labels): string[] {
  return [...labels].map(([key, value]) => (value === "" ? key : `${key}=${value}`)).sort();
}

export function labelText(labels: Labels): string {
  return labelList(labels).join(",");
}

/** The inverse of {@link labelList}. */
export function parseLabels(list: Iterable<string>): Labels {
  const out = new Map<string, string>();
  for (const text of list) {
    const equals = text.indexOf("=");
    if (equals < 0) out.set(text, "");
    else out.set(text.slice(0, equals), text.slice(equals + 1));
  }
  return out;
}
