# SPDX-License-Identifier: Apache-2.0
# For those who have a builder: the image that `npm run image` makes without one. The same script says what is in it; this file only
# gives it a Debian 12 to build on. The settings below are those of tools/image/contents.ts (a test compares them).
FROM node:22-bookworm AS build
WORKDIR /src
COPY . .
RUN sh tools/setup.sh && node_modules/node/bin/node tools/image/image.ts --rootfs /image

FROM scratch
COPY --from=build /image/base/ /
COPY --from=build /image/runtime/ /
COPY --from=build /image/weft/ /
LABEL org.opencontainers.image.title="weft" \
      org.opencontainers.image.description="The network of a Kubernetes cluster: agent, operator and command" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
USER 0:0
WORKDIR /
ENTRYPOINT ["/usr/local/bin/weft"]
