#!/bin/sh
# Builds the release binary and leaves a stripped copy at build/causeway, or says why it may not ship.
# The unstripped one stays at .build/release/causeway for profilers.
set -eu
cd "$(dirname "$0")/.."
limit=$((25 * 1024 * 1024))

# Exclusivity is proved at compile time where the compiler can, and checked at run time in debug builds and tests; the checks that remain
# take a packet loop several percent of its time.
swift build -c release --static-swift-stdlib --product causeway -Xswiftc -enforce-exclusivity=unchecked \
  -Xswiftc -cross-module-optimization -Xlinker --gc-sections -Xlinker -O2 "$@"

mkdir -p build
strip --strip-all -o build/causeway.new .build/release/causeway
size=$(stat -c %s build/causeway.new)
if [ "$size" -gt $limit ]; then
  echo "build: the stripped binary has $size bytes, more than the $limit it may have" >&2
  exit 1
fi
strangers=$(ldd build/causeway.new | awk '{ print $1 }' | sed 's|.*/||' |
  grep -vE '^(linux-vdso|libc|libm|libstdc\+\+|libgcc_s|ld-linux-x86-64|ld-linux-aarch64|libssl|libcrypto|libsqlite3|libyaml-0)\.so' || true)
if [ -n "$strangers" ]; then
  echo "build: the binary needs libraries it must not need: $(echo $strangers)" >&2
  exit 1
fi
mv build/causeway.new build/causeway
echo "build/causeway: $((size / 1024)) KiB"
