// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { request } from "node:http";
import { WeftError } from "#lib/errors.ts";

const timeoutMs = 10_000;

/** GETs a path of an agent's local API. @throws WeftError E_AGENT when no agent answers, or the agent's own error. */
export async function agentGet<T>(socketPath: string, path: string, signal: AbortSignal): Promise<T> {
  if (!existsSync(socketPath)) throw unreachable(socketPath, undefined);
  const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const call = request(
      { socketPath, path, signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]) },
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
    call.end();
  });
  const body = parseAnswer<T>(text, socketPath);
  if (status >= 400 && body.message) throw new WeftError(body.code ?? "E_AGENT", body.message);
  return body;
}

function parseAnswer<T>(text: string, socketPath: string): T & { code?: string; message?: string } {
  try {
    return JSON.parse(text) as T & { code?: string; message?: string };
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
