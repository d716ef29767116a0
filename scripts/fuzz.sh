#!/bin/sh
# Fuzzes the decoders of Sources/Wire, TunnelCore, BondCore, MessagingCore and Messaging's handshake with libFuzzer and the address sanitizer, each from its kept corpus.
# Usage: scripts/fuzz.sh [SECONDS] [TARGET...]     60 seconds for each of all targets by default
# One line a target; exit 1 on any finding, whose input is then in Fuzz/.out/findings.
set -eu
cd "$(dirname "$0")/.."

seconds=60
case "${1:-}" in
'' ) ;;
*[!0-9]* ) ;;
* ) seconds=$1; shift ;;
esac
all='request response chunked websocket messagepack addresses packets frames records control handshake replay bondframes messageheader bootstrap'
if [ $# -eq 0 ]; then set -- $all; fi

out=Fuzz/.out
mkdir -p "$out/findings"
flags="-O -swift-version 6 -strict-memory-safety -sanitize=fuzzer,address -parse-as-library -package-name causeway -use-ld=lld
  -enable-upcoming-feature ExistentialAny -enable-upcoming-feature MemberImportVisibility
  -enable-upcoming-feature InternalImportsByDefault -enable-upcoming-feature NonisolatedNonsendingByDefault
  -enable-experimental-feature Lifetimes"

# module NAME SOURCES...: compiles one module into the output folder, when a source is newer than the last time.
module() {
  name=$1; shift
  if [ -e "$out/$name.o" ] && [ -z "$(find Sources/Base Sources/Wire "$@" -newer "$out/$name.o" -name '*.swift')" ]; then return; fi
  swiftc $flags -wmo -emit-module -emit-module-path "$out/$name.swiftmodule" -emit-object -o "$out/$name.o" \
    -module-name "$name" -I "$out" -I Sources/C/COpenSSL "$@"
}

for name in Base Wire Crypto Paths TunnelCore BondCore MessagingCore; do module "Causeway$name" $(find "Sources/$name" -name '*.swift'); done
objects=
for name in Base Wire Crypto Paths TunnelCore BondCore MessagingCore; do objects="$objects $out/Causeway$name.o"; done

failed=0
for target in "$@"; do
  if [ ! -e "Fuzz/$target.swift" ] || [ "$target" = Shared ]; then
    echo "fuzz: no target '$target': choose from $all" >&2
    exit 2
  fi
  # What it reads is inside a module that needs UCX to be built.
  inside=
  if [ "$target" = bootstrap ]; then inside='Sources/Messaging/Bootstrap/BootstrapMessage.swift Sources/Messaging/MessagingError.swift'; fi
  swiftc $flags -wmo -module-name "Fuzz_$target" -I "$out" -I Sources/C/COpenSSL "Fuzz/$target.swift" Fuzz/Shared.swift $inside \
    $objects -lssl -lcrypto -o "$out/$target"
  # New inputs go to the first folder and stay out of the repository; the second is the kept corpus.
  mkdir -p "$out/corpus/$target"
  if "$out/$target" -max_total_time="$seconds" -timeout=5 -max_len=4096 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$out/findings/$target-" "$out/corpus/$target" "Fuzz/corpus/$target" >"$out/$target.log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$target.log")
    echo "fuzz $target: ok, $runs inputs in $seconds s"
  else
    failed=1
    echo "fuzz $target: FINDING, see $out/$target.log: $(grep -m1 -E 'law broken|ERROR|Fatal error' "$out/$target.log" || echo 'unknown')"
  fi
done
exit $failed
