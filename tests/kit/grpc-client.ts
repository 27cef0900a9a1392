// SPDX-License-Identifier: Apache-2.0
import {
  create,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";

/**
 * A gRPC client that shares nothing with our server but the message descriptors: the wire is @grpc/grpc-js's.
 * Address: `unix:/path` or `host:port`.
 */
export class GrpcClient implements Disposable {
  readonly #client: Client;

  /** `authority`: speak TLS with a server this PEM certificate vouches for. */
  constructor(address: string, authority?: Buffer) {
    this.#client = new Client(
      address,
      authority ? credentials.createSsl(authority) : credentials.createInsecure(),
    );
  }

  unary<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
  ): Promise<MessageShape<M["output"]>> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path(method.parent, method),
        (message: MessageShape<M["input"]>) => Buffer.from(toBinary(method.input as M["input"], message)),
        (bytes: Buffer) => fromBinary(method.output as M["output"], bytes),
        create(method.input as M["input"], request),
        (error: ServiceError | null, answer?: MessageShape<M["output"]>) =>
          error ? reject(error) : resolve(answer!),
      );
    });
  }

  /** Reads a stream to its end, or until `enough` says so (then it is cancelled). */
  async stream<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
    enough: (answers: readonly MessageShape<M["output"]>[]) => boolean = () => false,
  ): Promise<MessageShape<M["output"]>[]> {
    const call = this.#client.makeServerStreamRequest(
      path(method.parent, method),
      (message: MessageShape<M["input"]>) => Buffer.from(toBinary(method.input as M["input"], message)),
      (bytes: Buffer) => fromBinary(method.output as M["output"], bytes),
      create(method.input as M["input"], request),
      new Metadata(),
    );
    const answers: MessageShape<M["output"]>[] = [];
    return new Promise((resolve, reject) => {
      call.on("error", (error) => (enough(answers) ? resolve(answers) : reject(error)));
      call.on("end", () => resolve(answers));
      call.on("data", (answer: MessageShape<M["output"]>) => {
        answers.push(answer);
        if (enough(answers)) call.cancel();
      });
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

function path(service: DescService, method: DescMethod): string {
  return `/${service.typeName}/${method.name}`;
}
