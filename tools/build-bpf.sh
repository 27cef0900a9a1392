#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compiles BPF objects: bpf/*.bpf.c into build/bpf/*.bpf.o, or only the sources named, each into the directory
# OUT (default build/bpf). What is newer than its source and every header is left alone.
set -eu
cd "$(dirname "$0")/.."
out=${OUT:-build/bpf}
clang=${CLANG:-clang-19}
command -v "$clang" >/dev/null 2>&1 || {
	echo "build-bpf: $clang is not installed (apt-get install clang-19 libbpf-dev)" >&2
	exit 1
}
mkdir -p "$out"
[ $# -gt 0 ] || set -- bpf/*.bpf.c
for source in "$@"; do
	[ -e "$source" ] || continue
	object=$out/$(basename "$source" .c).o
	if [ -e "$object" ] && [ -z "$(find "$source" bpf/lib tools/build-bpf.sh -newer "$object" 2>/dev/null | head -n 1)" ]; then
		continue
	fi
	# Compiled aside and moved: a reader beside us never sees half an object.
	"$clang" -target bpf -mcpu=v3 -O2 -g -Wall -Werror -Ibpf -Ibpf/lib "-I/usr/include/$(uname -m)-linux-gnu" \
		-fdebug-prefix-map="$PWD"=. -c "$source" -o "$object.$$"
	mv "$object.$$" "$object"
	echo "build-bpf: $object"
done
