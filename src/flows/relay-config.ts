// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { readSettings } from "#lib/settings.ts";
import { apiServerSetting, clusterNameSetting, listenSetting } from "#model/settings.ts";

/** Everything a relay can be told. Unknown keys are an error. */
const relayConfigSchema = z.strictObject({
  clusterName: clusterNameSetting,
  kubeconfig: z.string().optional().describe("Absent: in-cluster credentials."),
  apiServer: apiServerSetting,
  agentPort: z.number().int().min(1).max(65_535).default(4244).describe("Port of the agents' observers."),
  observer: listenSetting("0.0.0.0:4245").describe("Without TLS."),
  tls: z
    .strictObject({
      listen: z.string().default("0.0.0.0:4245").describe("Address and port."),
      cert: z.string().describe("PEM file of the certificate, read again when it changes."),
      key: z.string().describe("PEM file of its key."),
    })
    .optional()
    .describe("The observer with TLS, beside the one without."),
  health: listenSetting("0.0.0.0:4222"),
  metrics: listenSetting("0.0.0.0:9966"),
});

export type RelayConfig = z.infer<typeof relayConfigSchema>;

/** Reads the YAML file. @throws WeftError E_CONFIG naming the file and the setting. */
export function loadRelayConfig(path: string): RelayConfig {
  return readSettings(relayConfigSchema, path);
}
