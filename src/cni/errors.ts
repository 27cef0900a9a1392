// SPDX-License-Identifier: Apache-2.0
import { errorText, isAbort, WeftError } from "#lib/errors.ts";

/** Codes of the CNI specification (1.1.0, "Error"); from 100 on they are this plugin's. */
const CNI_CODES = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  badEnvironment: 4,
  ioFailure: 5,
  cannotDecode: 6,
  badConfig: 7,
  tryAgain: 11,
  notAvailable: 50,
  addressesExhausted: 100,
  alreadyAttached: 101,
  checkFailed: 102,
  kernelRefused: 103,
  internal: 199,
} as const;

export type CniErrorName = keyof typeof CNI_CODES;

/** A failure with its CNI code; `E_CNI`. */
export class CniError extends WeftError {
  readonly cniCode: number;

  constructor(name: CniErrorName, message: string, cause?: unknown) {
    super("E_CNI", message, cause === undefined ? {} : { cause });
    this.cniCode = CNI_CODES[name];
  }
}

const codeOf: Readonly<Record<string, CniErrorName>> = {
  E_IPAM_FULL: "addressesExhausted",
  E_IPAM_OWNER: "alreadyAttached",
  E_NETLINK: "kernelRefused",
  E_SYSCALL: "kernelRefused",
  E_SYSCTL: "kernelRefused",
  // The kubelet makes the sandbox again by itself when these are over.
  E_POD_UNKNOWN: "tryAgain",
  E_ENDPOINTS_FULL: "tryAgain",
  E_K8S: "tryAgain",
  E_STATE: "tryAgain",
};

/** The CNI error of anything thrown. What was interrupted may be tried again. */
export function toCniError(thrown: unknown): CniError {
  if (thrown instanceof CniError) return thrown;
  if (isAbort(thrown)) return new CniError("tryAgain", `try again later: ${errorText(thrown)}`, thrown);
  const name = thrown instanceof WeftError ? codeOf[thrown.code] : undefined;
  return new CniError(name ?? "internal", errorText(thrown), thrown);
}

/** The error object of the specification, for stdout. */
export function errorObject(error: CniError, cniVersion: string): Record<string, unknown> {
  return {
    cniVersion,
    code: error.cniCode,
    msg: error.message,
    ...(error.cause instanceof WeftError && error.cause.hint !== undefined && { details: error.cause.hint }),
  };
}
