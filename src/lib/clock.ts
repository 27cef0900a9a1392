// SPDX-License-Identifier: Apache-2.0

/** Time as a dependency, so that whatever waits can be tested without waiting. */
export interface Clock {
  /** Milliseconds; since the epoch, unless a clock says otherwise. */
  now(): number;
  /** Calls back once after the time; returns what cancels it. The timer does not keep the process alive. */
  after(ms: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** For a pause that somebody waits for at a terminal: the timer keeps the process alive. */
export const heldClock: Clock = {
  now: systemClock.now,
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

/** Time that passes, whatever the wall clock is set to. `now` counts from the start of the process. */
export const monotonicClock: Clock = { now: () => performance.now(), after: systemClock.after };

/** Resolves after the time, or as soon as the signal aborts (check it afterwards); never rejects. */
export function pause(ms: number, signal: AbortSignal, clock: Clock = systemClock): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      cancel();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const cancel = clock.after(ms, done);
    signal.addEventListener("abort", done);
  });
}

/** Resolves when the signal aborts; at once when it has. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
