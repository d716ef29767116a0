#!/bin/sh
# build-tools.sh [TOOL...]: builds what tests, demos and benchmarks stand on beside the program itself, at build/TOOL: link-emulator (the
# default), messaging-demo, messaging-peer. The same flags as build.sh, so that all share what was compiled.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- link-emulator
mkdir -p build
for tool in "$@"; do
  swift build -c release --static-swift-stdlib --product "$tool" -Xswiftc -enforce-exclusivity=unchecked \
    -Xswiftc -cross-module-optimization -Xlinker --gc-sections -Xlinker -O2
  cp ".build/release/$tool" "build/$tool.new"
  mv "build/$tool.new" "build/$tool"
  echo "build/$tool: $(($(stat -c %s "build/$tool") / 1024)) KiB"
done
