// SPDX-License-Identifier: Apache-2.0
import { type Clock, systemClock } from "#lib/clock.ts";

/** Between two times that losses are told. */
const everyMs = 60_000;

export interface Losses extends Disposable {
  note(count: number): void;
}

/** Tells of lost events: the first at once, those after it once a minute in one sum. Nothing lost, nothing told. */
export function tellLosses(tell: (count: number) => void, clock: Clock = systemClock): Losses {
  let untold = 0;
  let cancel: (() => void) | undefined;
  const tellNow = () => {
    cancel = undefined;
    if (untold === 0) return;
    const count = untold;
    untold = 0;
    cancel = clock.after(everyMs, tellNow);
    tell(count);
  };
  return {
    note(count) {
      untold += count;
      if (cancel === undefined) tellNow();
    },
    [Symbol.dispose]: () => cancel?.(),
  };
}
