// SPDX-License-Identifier: Apache-2.0

import { type PortQuestion, portText } from "#model/port.ts";
import type { End } from "./end.ts";
import type { Party } from "./ends.ts";
import type { Judge, Judgement } from "./judge.ts";
import type { OfflineService } from "./services.ts";

/** What becomes of a connection. */
export interface Answer {
  /** Of a service: `allow` when one of its backends would be reached. */
  readonly verdict: "allow" | "deny";
  readonly via: "service" | "pod";
  /** One, or one a backend of the service. */
  readonly paths: readonly Judgement[];
  /** Backends differ: it depends on which one the connection meets. */
  readonly mixed: boolean;
  /** What is no policy's doing. */
  readonly note?: string;
}

/** A connection to an end, or to a service: policy is judged on the backend, not on the service's address. */
export function ask(judge: Judge, from: End, to: Party, port: PortQuestion): Answer {
  if (to.kind === "service") return askService(judge, from, to.service, port);
  const path = judge.judge(from, to, port);
  return { verdict: path.verdict, via: "pod", paths: [path], mixed: false };
}

function askService(judge: Judge, from: End, service: OfflineService, port: PortQuestion): Answer {
  const name = `${service.namespace}/${service.name}`;
  const nobody = (note: string): Answer => ({
    verdict: "deny",
    via: "service",
    paths: [],
    mixed: false,
    note,
  });
  const found = service.ports.find((one) => one.port === port.port && one.proto === port.proto);
  if (!found) {
    const ports = service.ports.map(portText).join(", ");
    return nobody(
      `service ${name} has no port ${portText(port)} (it has ${ports || "none"}): nobody answers`,
    );
  }
  if (found.backends.length === 0)
    return nobody(`nobody is behind service ${name}: the node refuses the connection`);
  const paths = found.backends.map(({ pod, address, port: number }) => {
    const to: End = pod ? { kind: "pod", pod } : { kind: "address", address: address! };
    return judge.judge(from, to, { port: number, proto: port.proto });
  });
  const allowed = paths.filter(({ verdict }) => verdict === "allow").length;
  const mixed = allowed > 0 && allowed < paths.length;
  return {
    verdict: allowed > 0 ? "allow" : "deny",
    via: "service",
    paths,
    mixed,
    ...(mixed && {
      note: `service ${name}: ${allowed} of ${paths.length} backends may be reached: it depends on which one the connection meets`,
    }),
  };
}
