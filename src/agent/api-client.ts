// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { request } from "node:http";
import { WeftError } from "#lib/errors.ts";

const timeoutMs = 10_000;

/** GETs a path of an agent's local API. @throws WeftError E_AGENT when no agent answers, or the agent's own error. */
export function agentGet<T>(socketPath: string, path: string, signal: AbortSignal): Promise<T> {
  return ask<T>({ socketPath, path, method: "GET" }, undefined, signal);
}

/** Asks an agent to do something: POSTs JSON. @throws as {@link agentGet} */
export function agentPost<T>(
  socketPath: string,
  { path, body }: { readonly path: string; readonly body: unknown },
  signal: AbortSignal,
): Promise<T> {
  return ask<T>({ socketPath, path, method: "POST" }, JSON.stringify(body), signal);
}

async function ask<T>(
  to: { readonly socketPath: string; readonly path: string; readonly method: string },
  sent: string | undefined,
  signal: AbortSignal,
): Promise<T> {
  const { socketPath } = to;
  if (!existsSync(socketPath)) throw unreachable(socketPath, undefined);
  const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const call = request(
      { ...to, signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]) },
      (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() }),
        );
        response.on("error", reject);
      },
    );
    call.on("error", (cause) => reject(unreachable(socketPath, cause)));
    call.end(sent);
  });
  const body = parseAnswer<T>(text, socketPath);
  if (status >= 400 && body.message)
    throw new WeftError(body.code ?? "E_AGENT", body.message, { ...(body.hint && { hint: body.hint }) });
  return body;
}

type Refusal = { readonly code?: string; readonly message?: string; readonly hint?: string };

function parseAnswer<T>(text: string, socketPath: string): T & Refusal {
  try {
    return JSON.parse(text) as T & Refusal;
  } catch (cause) {
    throw new WeftError("E_AGENT", `what answers on ${socketPath} is no agent`, { cause });
  }
}

function unreachable(socketPath: string, cause: unknown): WeftError {
  return new WeftError("E_AGENT", `no agent answers on ${socketPath}`, {
    cause,
    hint: "is it running? A lab starts with `weft lab up`; `--agent PATH` names another agent's socket",
  });
}
