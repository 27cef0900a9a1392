// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { KubeError } from "#k8s/errors.ts";
import { outageOf } from "#k8s/outage.ts";
import { errorText } from "#lib/errors.ts";
import type { Health, HealthLevel } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";

export interface FollowReportOptions {
  readonly client: KubeClient;
  readonly source: string;
  readonly health: Health;
  readonly log: Logger;
}

/** How following one resource goes: a line of health, and in the log what is worth one. */
export class FollowReport {
  readonly #options: FollowReportOptions;
  readonly #outage: ReturnType<typeof outageOf>;
  /** Objects that a list lacked and that are kept. */
  #held = 0;

  constructor(options: FollowReportOptions) {
    this.#options = options;
    this.#outage = outageOf(options.client);
  }

  starts(): void {
    this.#set("starting", "waiting for the first list");
  }

  fromSnapshot(objects: number): void {
    this.#set("degraded", `${objects} object(s) as they were kept: the API server does not answer`);
  }

  /** It goes on; what was taken and refused of the objects says how well. */
  follows(level: HealthLevel, message: string): void {
    if (this.#held > 0)
      this.#set("degraded", `${this.#held} object(s) missing in a list, kept until confirmed`);
    else this.#set(level, message);
  }

  /** As a `ShortListGuard` tells it; health says it with the next {@link follows}. */
  shortList(missing: number, why: "held" | "confirmed" | "back"): void {
    const { source, log } = this.#options;
    this.#held = missing;
    if (why === "held")
      log.warn(
        { resource: source, missing },
        "a list lacks most of what is known: nothing is removed until it is confirmed",
      );
    else
      log.info(
        { resource: source },
        why === "back" ? "what a list lacked is there again" : "a short list is confirmed",
      );
  }

  found(): void {
    this.#outage.end(this.#options.source, this.#options.log);
  }

  lost(problem: unknown, failures: number): void {
    const { source, log } = this.#options;
    const error = errorText(problem);
    // One lost connection is daily business; what does not come back at once is worth a line.
    if (failures > 1) this.#set("degraded", error);
    const away = problem instanceof KubeError && problem.status === 0;
    if (failures > 1 && away) this.#outage.begin(source, error, log);
    // The 2nd, 4th, 8th… time: what lasts is said, and not every few seconds.
    else if (failures > 1 && (failures & (failures - 1)) === 0)
      log.warn({ resource: source, err: error, failures }, "cannot follow, will try again");
    else log.debug({ resource: source, err: error, failures }, "watch lost, resuming");
  }

  stopped(): void {
    this.#set("stopped", "");
  }

  broke(thrown: unknown): void {
    const { source, log } = this.#options;
    this.#set("degraded", errorText(thrown));
    log.error({ resource: source, err: thrown }, "following a resource ended by a fault of the program");
  }

  #set(level: HealthLevel, message: string): void {
    this.#options.health.set(`k8s/${this.#options.source}`, level, message);
  }
}
