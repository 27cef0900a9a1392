// SPDX-License-Identifier: Apache-2.0
import { Duplex } from "node:stream";
import type { RawData, WebSocket } from "ws";
import type { KubeClient } from "#k8s/client.ts";
import { KubeError } from "#k8s/errors.ts";
import { resourcePath, resources } from "#k8s/resource.ts";
import { bytesOf } from "#k8s/web-socket.ts";

/** A TCP port of a pod; of a pod on the host's network: of its node. */
export interface PodPort {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

/**
 * The form of port-forward that is a WebSocket all the way to the kubelet (every server has it): for one port, channel 0 carries data and
 * channel 1 says what failed; the first message on each is the port's number.
 */
const protocols = ["v4.channel.k8s.io"];
const channel = { data: 0, error: 1 } as const;
const portBytes = 2;

/**
 * A TCP connection to a pod's port through the API server. The stream is there at once; what is written waits until the connection is.
 * It fails with a KubeError when the server refuses, and when nobody listens there.
 */
export function connectPod(client: KubeClient, at: PodPort, signal?: AbortSignal): Duplex {
  const name = `port ${at.port} of pod ${at.namespace}/${at.pod}`;
  let socket: WebSocket | undefined;
  const stream: Duplex = new Duplex({
    construct: (done) => {
      const path = resourcePath(resources.pods, {
        namespace: at.namespace,
        name: at.pod,
        subresource: "portforward",
      });
      client.webSocket({ path, query: [["ports", String(at.port)]], protocols, signal }).then((opened) => {
        socket = opened;
        if (stream.destroyed) opened.terminate();
        receive(opened, stream, name);
        done();
      }, done);
    },
    read: () => socket?.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      if (socket?.readyState !== socket?.OPEN) done(new Error(`${name}: the connection has ended`));
      else socket?.send(Buffer.concat([Buffer.of(channel.data), chunk]), (error) => done(error));
    },
    final: (done) => {
      socket?.close(1000);
      done();
    },
    destroy: (error, done) => {
      socket?.terminate();
      done(error);
    },
  });
  return stream;
}

function receive(socket: WebSocket, stream: Duplex, name: string): void {
  const skip: [number, number] = [portBytes, portBytes];
  socket.on("message", (raw: RawData) => {
    const message = bytesOf(raw);
    const from = message[0] === channel.error ? channel.error : channel.data;
    const data = message.subarray(1 + skip[from]);
    skip[from] = 0;
    if (data.length === 0) return;
    if (from === channel.data) {
      if (!stream.push(data)) socket.pause();
      return;
    }
    const text = `${name}: ${data.toString().trim()}`;
    stream.destroy(new KubeError(text, { status: 0, reason: "Unreachable" }));
  });
  socket.once("close", () => stream.push(null));
  socket.resume();
}
