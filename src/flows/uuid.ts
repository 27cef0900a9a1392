// SPDX-License-Identifier: Apache-2.0

/** Names a flow for good: eight random bytes of the observer's run, then the record's number. Version 8 of RFC 9562. */
export function flowUuid(run: bigint, sequence: number): string {
  const high = (run & 0xffff_ffff_ffff_0fffn) | 0x8000n;
  const low = 0x8000_0000_0000_0000n | BigInt(sequence);
  const text = high.toString(16).padStart(16, "0") + low.toString(16);
  return `${text.slice(0, 8)}-${text.slice(8, 12)}-${text.slice(12, 16)}-${text.slice(16, 20)}-${text.slice(20)}`;
}
