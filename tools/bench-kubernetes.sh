#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# npm run bench:kubernetes: set up and build what is missing, then measure on a real cluster. `npm run bench:kubernetes -- --help` lists the options.
set -eu
cd "$(dirname "$0")/.."
sh tools/setup.sh
exec node_modules/node/bin/node tests/k8s/bench/run.ts "$@"
