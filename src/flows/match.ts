// SPDX-License-Identifier: Apache-2.0
import type { RecordCursor } from "./record.ts";

/** Whether a record is wanted. Looks at the raw record: nothing is decoded for what is not shown. */
export type Match = (record: RecordCursor) => boolean;
