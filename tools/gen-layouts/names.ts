// SPDX-License-Identifier: Apache-2.0

/** `drop_reason` → `dropReason`; leading capitals of C constants come down too. */
export function camel(name: string): string {
  return name.toLowerCase().replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

export function pascal(name: string): string {
  const text = camel(name);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function kebab(name: string): string {
  return name.replaceAll("_", "-");
}
