// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "#agent/config.ts";
import type { NodeSettings } from "#datapath/node-config.ts";
import { WeftError } from "#lib/errors.ts";
import type { Family } from "#model/ip.ts";

export function familiesOf(config: Pick<AgentConfig, "families">): Family[] {
  return config.families === "dual" ? [4, 6] : [config.families === "v4" ? 4 : 6];
}

/** Whether pods may leave by other nodes: where there is a tunnel anyway, unless the configuration says otherwise. */
export function egressGatewayOf({
  egressGateway,
  routing,
}: Pick<AgentConfig, "egressGateway" | "routing">): boolean {
  return egressGateway ?? routing === "tunnel";
}

/** How direct server return goes. @throws WeftError E_CONFIG where that has no way to the backends */
export function dsrDispatchOf({
  services,
  routing,
}: Pick<AgentConfig, "services" | "routing">): NodeSettings["dsrDispatch"] {
  if (services.dsrDispatch !== "ipip" || routing === "native") return services.dsrDispatch;
  throw new WeftError("E_CONFIG", "services.dsrDispatch: ipip needs routing: native", {
    hint: "pods' addresses lead nowhere outside the tunnel; set `services.dsrDispatch: option`, which goes through it, or `geneve`, which goes beside it",
  });
}
