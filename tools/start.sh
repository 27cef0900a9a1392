#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# npm start: set up, then a lab of three nodes with the example shop and its flows.
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
	echo "weft: the lab makes network namespaces and loads BPF programs, so it needs root: run \`sudo npm start\`" >&2
	exit 1
fi
sh tools/setup.sh
exec ./weft lab up -f examples/shop "$@"
