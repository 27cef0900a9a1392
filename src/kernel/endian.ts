// SPDX-License-Identifier: Apache-2.0
import { endianness } from "node:os";

/** Byte order of netlink, socket structures and BPF maps: this host's. The third argument of DataView's methods. */
export const LITTLE_ENDIAN = endianness() === "LE";
