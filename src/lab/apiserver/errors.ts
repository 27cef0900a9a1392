// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import type { Json, JsonObject } from "./object.ts";

/** What a request's answer is when it fails: HTTP code, reason and text as a `Status` object says them. */
export class ApiError extends WeftError {
  readonly httpCode: number;
  readonly reason: string;
  readonly details: JsonObject | undefined;

  constructor(httpCode: number, reason: string, message: string, details?: JsonObject) {
    super(`E_API_${httpCode}`, message);
    this.httpCode = httpCode;
    this.reason = reason;
    this.details = details;
  }

  status(): JsonObject {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      reason: this.reason,
      ...(this.details ? { details: this.details } : {}),
      code: this.httpCode,
    };
  }
}

/** What names a kind of object in an error: `deployments.apps`. */
export interface ErrorSubject {
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
}

function qualified(subject: ErrorSubject): string {
  return subject.group === "" ? subject.plural : `${subject.plural}.${subject.group}`;
}

function details(subject: ErrorSubject, name: string): JsonObject {
  return {
    ...(name ? { name } : {}),
    ...(subject.group ? { group: subject.group } : {}),
    kind: subject.plural,
  };
}

export function notFound(subject: ErrorSubject, name: string): ApiError {
  return new ApiError(404, "NotFound", `${qualified(subject)} "${name}" not found`, details(subject, name));
}

export function alreadyExists(subject: ErrorSubject, name: string): ApiError {
  return new ApiError(
    409,
    "AlreadyExists",
    `${qualified(subject)} "${name}" already exists`,
    details(subject, name),
  );
}

export function conflict(subject: ErrorSubject, name: string, why?: string): ApiError {
  const text =
    why ?? "the object has been modified; please apply your changes to the latest version and try again";
  const message = `Operation cannot be fulfilled on ${qualified(subject)} "${name}": ${text}`;
  return new ApiError(409, "Conflict", message, details(subject, name));
}

export function forbidden(subject: ErrorSubject, name: string, why: string): ApiError {
  return new ApiError(
    403,
    "Forbidden",
    `${qualified(subject)} "${name}" is forbidden: ${why}`,
    details(subject, name),
  );
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, "BadRequest", message);
}

export function expired(message: string): ApiError {
  return new ApiError(410, "Expired", message);
}

/** 422 for a request's own parameters: `kind` is `ListOptions`, `CreateOptions`, `UpdateOptions`, `PatchOptions` or `DeleteOptions`. */
export function invalidOptions(kind: string, errors: readonly FieldError[]): ApiError {
  return invalid({ group: "meta.k8s.io", plural: "", kind }, "", errors);
}

export function methodNotAllowed(): ApiError {
  return new ApiError(
    405,
    "MethodNotAllowed",
    "the server does not allow this method on the requested resource",
  );
}

export function unknownPath(): ApiError {
  return new ApiError(404, "NotFound", "the server could not find the requested resource", {});
}

export type FieldErrorType =
  | "Required"
  | "Invalid"
  | "NotSupported"
  | "Forbidden"
  | "Duplicate"
  | "TooLong"
  | "TooMany"
  | "TypeInvalid";

/** One thing wrong with one field of an object; `path` as `spec.ports[0].port`. */
export interface FieldError {
  readonly type: FieldErrorType;
  readonly path: string;
  readonly value?: Json;
  readonly detail?: string;
}

export function required(path: string, detail = ""): FieldError {
  return { type: "Required", path, detail };
}

export function invalidField(path: string, value: Json, detail: string): FieldError {
  return { type: "Invalid", path, value, detail };
}

export function notSupported(path: string, value: Json, supported: readonly Json[]): FieldError {
  return {
    type: "NotSupported",
    path,
    value,
    detail: `supported values: ${supported.map((v) => JSON.stringify(v)).join(", ")}`,
  };
}

const labels: Readonly<Record<FieldErrorType, string>> = {
  Required: "Required value",
  Invalid: "Invalid value",
  NotSupported: "Unsupported value",
  Forbidden: "Forbidden",
  Duplicate: "Duplicate value",
  TooLong: "Too long",
  TooMany: "Too many",
  TypeInvalid: "Invalid value",
};

function fieldBody(error: FieldError): string {
  const head = labels[error.type];
  const withValue = error.type !== "Required" && error.type !== "Forbidden" && error.type !== "TooLong";
  const value = withValue ? `: ${JSON.stringify(error.value ?? null)}` : "";
  return `${head}${value}${error.detail ? `: ${error.detail}` : ""}`;
}

/** 422 with every field error, in the words of the real server. */
export function invalid(subject: ErrorSubject, name: string, errors: readonly FieldError[]): ApiError {
  const texts = errors.map((error) => `${error.path}: ${fieldBody(error)}`);
  const joined = texts.length === 1 ? texts[0]! : `[${texts.join(", ")}]`;
  const full = subject.group === "" ? subject.kind : `${subject.kind}.${subject.group}`;
  return new ApiError(422, "Invalid", `${full} "${name}" is invalid: ${joined}`, {
    ...(name ? { name } : {}),
    ...(subject.group ? { group: subject.group } : {}),
    kind: subject.kind,
    causes: errors.map((error) => ({
      reason: `FieldValue${error.type}`,
      message: fieldBody(error),
      field: error.path,
    })),
  });
}
