// SPDX-License-Identifier: Apache-2.0
import type { DescEnum } from "@bufbuild/protobuf";

/** The name of an enum's number as in the .proto file; the number itself when it has none. */
export function enumName(schema: DescEnum, number: number): string {
  return schema.value[number]?.name ?? String(number);
}

/** The number of a name, exactly as in the .proto file. */
export function enumNumber(schema: DescEnum, name: string): number | undefined {
  return schema.values.find((value) => value.name === name)?.number;
}
