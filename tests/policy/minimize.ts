// SPDX-License-Identifier: Apache-2.0

/** A value with one part of it left out, each part once: elements of lists and fields, wide ones first. */
function* without(value: unknown): Generator<unknown> {
  if (Array.isArray(value)) {
    for (const index of value.keys()) yield value.toSpliced(index, 1);
    for (const [index, one] of value.entries())
      for (const less of without(one)) yield value.with(index, less);
  } else if (typeof value === "object" && value !== null) {
    for (const key of Object.keys(value)) {
      const { [key]: _, ...rest } = value as Record<string, unknown>;
      yield rest;
    }
    for (const [key, one] of Object.entries(value))
      for (const less of without(one)) yield { ...value, [key]: less };
  }
}

/** The smallest part of a value for which `holds` still holds, leaving out one thing after the other; it may throw: then it does not. */
export function minimize<T>(value: T, holds: (value: T) => boolean, tries = 4000): T {
  let smallest = value;
  let left = tries;
  for (let smaller = true; smaller && left > 0; ) {
    smaller = false;
    for (const less of without(smallest)) {
      if (left-- <= 0) break;
      if (!stillHolds(less as T, holds)) continue;
      smallest = less as T;
      smaller = true;
      break;
    }
  }
  return smallest;
}

/** The list without the elements that can go. */
export function shortest<T>(list: readonly T[], holds: (list: readonly T[]) => boolean): readonly T[] {
  let left = list;
  for (const one of list) {
    const less = left.filter((other) => other !== one);
    if (stillHolds(less, holds)) left = less;
  }
  return left;
}

function stillHolds<T>(value: T, holds: (value: T) => boolean): boolean {
  try {
    return holds(value);
  } catch {
    return false;
  }
}
