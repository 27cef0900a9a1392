#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the native programs into build/native; what is newer than its source is left alone.
set -eu
cd "$(dirname "$0")/.."
out=build/native
mkdir -p "$out"

compiler=${CC:-}
for candidate in clang-19 clang cc; do
  [ -n "$compiler" ] || compiler=$(command -v "$candidate" || true)
done
[ -n "$compiler" ] || { echo "no C compiler: install clang-19" >&2; exit 1; }

build() { # NAME SOURCE
  if [ "$out/$1" -nt "$2" ] && [ "$out/$1" -nt tools/build-native.sh ]; then return; fi
  echo "build $out/$1"
  # Renamed into place: a program that is running cannot be overwritten.
  "$compiler" -O2 -static -Wall -Wextra -Werror -Wno-missing-field-initializers -s -o "$out/$1.new" "$2"
  mv "$out/$1.new" "$out/$1"
}

# The commands of stand-ins: one program by many names. Not static: it resolves names as the machine does.
build_tools() {
  for source in src/lab/tools/*; do
    if [ "$out/pod-tools" -nt "$source" ]; then continue; fi
    echo "build $out/pod-tools"
    "$compiler" -O2 -Wall -Wextra -Werror -Wno-missing-field-initializers -s -o "$out/pod-tools.new" src/lab/tools/*.c
    mv "$out/pod-tools.new" "$out/pod-tools"
    break
  done
  mkdir -p "$out/tools"
  for name in agnhost nc netcat wget curl ping ping6 nslookup host; do
    ln -sfn ../pod-tools "$out/tools/$name"
  done
}

build weft-cni src/cni/shim.c
build loopback src/cni/loopback.c
build pod-exec src/lab/pod-exec.c
build_tools
