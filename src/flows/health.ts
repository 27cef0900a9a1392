// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  type Health,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Status,
} from "#api/gen/health/health_pb.ts";

/** Under this name, which is no service's, `hubble status` asks for the observer's health. */
export const hubbleHealthName = "hubble.server.Observer";

/** `grpc.health.v1.Health`: a server that answers serves all of its services, by name or, with no name, as a whole. */
export function healthService(services: readonly string[]): ServiceImpl<typeof Health> {
  const known = new Set(["", ...services]);
  const serving = create(HealthCheckResponseSchema, { status: Status.SERVING });
  return {
    check: ({ service }) => {
      if (known.has(service)) return serving;
      throw new ConnectError(`no service "${service}" here`, Code.NotFound);
    },
    async *watch({ service }, { signal }) {
      yield known.has(service)
        ? serving
        : create(HealthCheckResponseSchema, { status: Status.SERVICE_UNKNOWN });
      if (!signal.aborted) await once(signal, "abort");
    },
  };
}
