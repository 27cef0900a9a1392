// SPDX-License-Identifier: Apache-2.0

/** A part that is asked for a sign of life when the kubelet asks us. */
export interface Pulse {
  readonly name: string;
  beat(): Promise<unknown>;
}

/** So long a part may take to answer before only a new process helps. */
const silentMs = 30_000;

/**
 * Liveness: that it is answered shows that the main loop turns; it fails when a part that was asked by an earlier probe has been silent for 30 s.
 * Nothing outside this process counts: an agent whose API server is away does its work.
 */
export function liveness(now = () => performance.now()): {
  add(pulse: Pulse): void;
  live(): string | undefined;
} {
  const asked = new Map<Pulse, number | undefined>();
  return {
    add: (pulse) => void asked.set(pulse, undefined),
    live() {
      const silent: string[] = [];
      for (const [pulse, since] of asked) {
        if (since === undefined) {
          asked.set(pulse, now());
          pulse.beat().then(
            () => asked.set(pulse, undefined),
            // It stays asked: an answer that is an error is none.
            () => {},
          );
        } else if (now() - since > silentMs) {
          silent.push(`${pulse.name} has not answered for ${Math.round((now() - since) / 1000)} s`);
        }
      }
      return silent.length === 0 ? undefined : silent.join("; ");
    },
  };
}
