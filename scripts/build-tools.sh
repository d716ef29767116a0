#!/bin/sh
# Builds what tests and benchmarks of the bond stand on beside the program itself: the link emulator, at build/link-emulator.
# The same flags as build.sh, so that both share what was compiled.
set -eu
cd "$(dirname "$0")/.."
swift build -c release --static-swift-stdlib --product link-emulator \
  -Xswiftc -cross-module-optimization -Xlinker --gc-sections -Xlinker -O2 "$@"
mkdir -p build
cp .build/release/link-emulator build/link-emulator.new
mv build/link-emulator.new build/link-emulator
echo "build/link-emulator: $(($(stat -c %s build/link-emulator) / 1024)) KiB"
