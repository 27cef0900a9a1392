// SPDX-License-Identifier: Apache-2.0
import { hostname } from "node:os";
import { errorText } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { KubeClient } from "./client.ts";
import type { KubeObject } from "./resource.ts";

/** The object an event is about. */
export interface EventSubject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  /** Absent: it has none, and the event is in `default`. */
  readonly namespace?: string;
}

export interface EventRecorder {
  /** Shows up in `kubectl describe` of the object. Best effort: a failure is logged and no more. */
  warn(subject: EventSubject, reason: string, note: string): void;
}

const events = { group: "events.k8s.io", version: "v1", plural: "events" };

/** Who tells, of what doing: `weft.io/operator`, `Assign`. */
export interface EventSource {
  readonly controller: string;
  readonly action: string;
}

/** Writes events.k8s.io/v1 Events. The caller says each thing once. */
export function createEventRecorder(client: KubeClient, log: Logger, source: EventSource): EventRecorder {
  let count = 0;
  return {
    warn({ namespace, ...subject }, reason, note) {
      const nowMs = Date.now();
      const at = namespace ?? "default";
      const event = {
        apiVersion: "events.k8s.io/v1",
        kind: "Event",
        metadata: {
          namespace: at,
          name: `${subject.name}.${nowMs.toString(16)}${process.pid.toString(16)}.${count++}`,
        },
        eventTime: new Date(nowMs).toISOString().replace("Z", "000Z"),
        reportingController: source.controller,
        reportingInstance: hostname(),
        action: source.action,
        reason,
        note: note.slice(0, 1024),
        type: "Warning",
        regarding: { ...subject, ...(namespace !== undefined && { namespace }) },
      } as KubeObject;
      client
        .create(events, event)
        .catch((thrown: unknown) =>
          log.warn({ reason, err: errorText(thrown) }, "event could not be written"),
        );
    },
  };
}
