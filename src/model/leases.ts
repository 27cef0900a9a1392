// SPDX-License-Identifier: Apache-2.0

/** On every Lease of an address that is announced on the wire, and on no other. */
export const l2LeaseLabel = ["weft.io/l2-announcement", "true"] as const;

/** Whose holder is the operator that works. */
export const operatorLease = "weft-operator-leader";
