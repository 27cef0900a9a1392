// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import type { Logger } from "#lib/log.ts";

/** An outage of one API server as all its followers see it together: a line when it begins, a line when it is over. */
class Outage {
  readonly #away = new Set<string>();
  #sinceMs = 0;

  /** A follower got no answer, more than once. */
  begin(follower: string, problem: string, log: Logger): void {
    if (this.#away.size === 0) {
      this.#sinceMs = performance.now();
      log.warn({ error: problem }, "API server does not answer: going on with what is known");
    }
    this.#away.add(follower);
  }

  /** A follower follows. */
  end(follower: string, log: Logger): void {
    if (!this.#away.delete(follower) || this.#away.size > 0) return;
    const seconds = Math.round((performance.now() - this.#sinceMs) / 1000);
    log.info({ seconds }, "API server answers again: everything is followed");
  }
}

const outages = new WeakMap<KubeClient, Outage>();

export function outageOf(client: KubeClient): Outage {
  let outage = outages.get(client);
  if (!outage) {
    outage = new Outage();
    outages.set(client, outage);
  }
  return outage;
}
