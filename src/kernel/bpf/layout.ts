// SPDX-License-Identifier: Apache-2.0

/**
 * How one C struct stands in memory. Byte order lives here and nowhere else: `__be16`/`__be32` fields read and write
 * host numbers, `struct addr` reads and writes an Address text. The codecs under `src/datapath/layouts/` are generated
 * from the BTF of the compiled programs (`npm run gen`).
 */
export interface Layout<T> {
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  read(view: DataView, offset: number): T;
  /** Writes every byte of the struct, padding as zero. */
  write(view: DataView, offset: number, value: T): void;
}
