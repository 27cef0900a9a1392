// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";

/** What an API server answers in place of an object (meta/v1 Status). */
export interface Status {
  readonly kind?: "Status";
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
}

/** A request the API server refused, or that did not reach it. Code E_K8S. */
export class KubeError extends WeftError {
  /** HTTP status; 0: no complete answer. */
  readonly status: number;
  /** Kubernetes' word for it: `NotFound`, `Conflict`, `Expired`…; `Unreachable` with status 0. */
  readonly reason: string;
  /** The server asks to wait this long. */
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    options: {
      readonly status: number;
      readonly reason: string;
      readonly retryAfterMs?: number | undefined;
      readonly cause?: unknown;
    },
  ) {
    super("E_K8S", message, options.cause === undefined ? {} : { cause: options.cause });
    this.status = options.status;
    this.reason = options.reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

const reasons: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  409: "Conflict",
  410: "Gone",
  422: "Invalid",
  429: "TooManyRequests",
  503: "ServiceUnavailable",
  504: "Timeout",
};

/** The error of an answer that is not a success; the body may be anything. */
export function errorOfAnswer(
  what: string,
  answer: { status: number; body: string; retryAfter: string | undefined },
): KubeError {
  let status: Status = {};
  try {
    const parsed: unknown = JSON.parse(answer.body);
    if (typeof parsed === "object" && parsed !== null) status = parsed;
  } catch {
    status = { message: answer.body.slice(0, 200).trim() };
  }
  const seconds = Number(answer.retryAfter);
  return errorOfStatus(what, { ...status, code: answer.status }, seconds > 0 ? seconds * 1000 : undefined);
}

export function errorOfStatus(what: string, status: Status, retryAfterMs?: number): KubeError {
  const code = status.code ?? 0;
  const reason = status.reason ?? reasons[code] ?? (code >= 500 ? "InternalError" : "Unknown");
  return new KubeError(`${what}: ${status.message || reason} (${code})`, {
    status: code,
    reason,
    retryAfterMs,
  });
}

/** True for the answer that the object does not exist. */
export function isNotFound(thrown: unknown): boolean {
  return thrown instanceof KubeError && thrown.status === 404;
}

/** True when nothing can be made in a namespace any more: it is being deleted (admission plug-in NamespaceLifecycle), or gone. */
export function isNamespaceGoing(thrown: unknown): boolean {
  if (!(thrown instanceof KubeError)) return false;
  if (thrown.status === 403) return thrown.message.includes("is being terminated");
  return thrown.status === 404 && /namespaces ".*" not found/.test(thrown.message);
}

/** True when somebody else changed the object since it was read, or made it first. */
export function isConflict(thrown: unknown): boolean {
  return thrown instanceof KubeError && thrown.status === 409;
}

/** True when the place to go on from is too old, or of a server whose state was set back: list again. */
export function isExpired(thrown: unknown): boolean {
  if (!(thrown instanceof KubeError)) return false;
  if (thrown.status === 410 || thrown.reason === "Expired" || thrown.reason === "Gone") return true;
  return thrown.status === 504 && thrown.message.includes("Too large resource version");
}
