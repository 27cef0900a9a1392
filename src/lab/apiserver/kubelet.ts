// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from "./object.ts";

/** What `kubectl logs` asks for. */
export interface LogOptions {
  readonly follow: boolean;
  /** The previous run of the container. */
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly tailLines: number | undefined;
  readonly sinceSeconds: number | undefined;
  /** RFC 3339. */
  readonly sinceTime: string | undefined;
  readonly limitBytes: number | undefined;
}

export interface ExecRequest {
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly stdin: boolean;
}

export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/** Both ends of a running command, seen from the one that runs it. */
export interface ExecStreams {
  /** Ends when the client closes its input; empty when none was asked for. */
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Resolves when the client can take more. */
  readonly stdout: (chunk: Uint8Array) => Promise<void>;
  /** The same as stdout when there is a terminal. */
  readonly stderr: (chunk: Uint8Array) => Promise<void>;
  /** Called with the terminal's size at the start and when it changes. */
  readonly onResize: (listener: (size: TerminalSize) => void) => void;
  /** Aborted when the client goes. */
  readonly signal: AbortSignal;
}

/** The nodes, as the API server sees them: implemented by the lab's node side. Errors thrown are shown to the client. */
export interface KubeletClient {
  readonly logs: (
    pod: KubeObject,
    container: string,
    options: LogOptions,
    signal: AbortSignal,
  ) => AsyncIterable<Uint8Array>;
  /** Runs a command in a container and resolves with its exit code. */
  readonly exec: (
    pod: KubeObject,
    container: string,
    request: ExecRequest,
    streams: ExecStreams,
  ) => Promise<number>;
}
