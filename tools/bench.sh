#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# npm run bench: set up and build what is missing, then measure. `npm run bench -- --help` lists the parts.
set -eu
cd "$(dirname "$0")/.."
sh tools/setup.sh
sh tools/build.sh
exec node_modules/node/bin/node --expose-gc tests/bench/run.ts "$@"
