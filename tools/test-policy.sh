#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# npm run test:policy -- [--cases N] [--seed N]: what the policy languages say, compiled entries and the datapath agree. Needs root.
set -eu
cd "$(dirname "$0")/.."
sh tools/setup.sh
exec node_modules/node/bin/node tests/policy/run.ts "$@"
