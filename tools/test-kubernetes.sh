#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# npm run test:kubernetes: set up and build what is missing, then the tests on a real Kubernetes. `npm run test:kubernetes -- --help` lists the parts.
set -eu
cd "$(dirname "$0")/.."
sh tools/setup.sh
exec node_modules/node/bin/node tests/k8s/run.ts "$@"
