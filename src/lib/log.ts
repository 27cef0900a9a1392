// SPDX-License-Identifier: Apache-2.0
import { type Logger, pino } from "pino";

export type { Logger };

/**
 * JSON lines on stderr. A message is constant text, what varies goes into fields:
 * `log.info({ endpoint, identity }, "endpoint added")`. Secrets are cut out by field name.
 */
export function createLogger(name: string, level = process.env["WEFT_LOG"] ?? "info"): Logger {
  return pino(
    { name, level, base: null, redact: ["token", "password", "*.token", "*.password", "*.key-data"] },
    pino.destination({ dest: 2, sync: true }),
  );
}
