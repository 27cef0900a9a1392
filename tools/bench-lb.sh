#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# npm run bench:lb: set up and build what is missing, then measure beside kube-proxy. `npm run bench:lb -- --help` lists the options.
set -eu
cd "$(dirname "$0")/.."
sh tools/setup.sh
sh tools/build.sh
exec node_modules/node/bin/node tests/bench/lb/run.ts "$@"
