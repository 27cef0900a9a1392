#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# npm test: set up, check, then every test. `sh tools/test.sh PART...` runs parts: check unit kernel packet lab image.
set -eu
cd "$(dirname "$0")/.."
sh tools/setup.sh
exec node_modules/node/bin/node tools/run-tests.ts "$@"
