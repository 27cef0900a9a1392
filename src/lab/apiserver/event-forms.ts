// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from "./object.ts";

/** The same Event in both of its groups: kept as core/v1, by whichever it was written. Names in events.k8s.io/v1, and in core/v1. */
const names = {
  regarding: "involvedObject",
  note: "message",
  reportingController: "reportingComponent",
  deprecatedSource: "source",
  deprecatedFirstTimestamp: "firstTimestamp",
  deprecatedLastTimestamp: "lastTimestamp",
  deprecatedCount: "count",
} as const;

const coreNames = Object.fromEntries(Object.entries(names).map(([ours, core]) => [core, ours]));

/** An Event of events.k8s.io/v1 as core/v1. */
export function coreEvent(event: KubeObject): KubeObject {
  return renamed(event, "v1", names);
}

/** An Event of core/v1 as events.k8s.io/v1. */
export function newEvent(event: KubeObject): KubeObject {
  return renamed(event, "events.k8s.io/v1", coreNames);
}

function renamed(event: KubeObject, apiVersion: string, to: Readonly<Record<string, string>>): KubeObject {
  const entries = Object.entries(event).map(([name, value]) => [to[name] ?? name, value]);
  return { ...(Object.fromEntries(entries) as KubeObject), apiVersion };
}
