#!/bin/sh
# Formatting, and the rules of the house that a compiler does not check. Changes nothing.
set -eu
cd "$(dirname "$0")/.."
failed=0

folders=$(ls -d Package.swift Sources Tests Fuzz 2>/dev/null || true)
swift format lint --strict --parallel --recursive $folders || failed=1

rule() {  # rule SENTENCE MATCHES: fails with the sentence when there are matches
  [ -z "$2" ] && return
  printf 'lint: %s\n%s\n' "$1" "$2" >&2
  failed=1
}
cores=$(ls -d Sources/Base Sources/Wire Sources/TunnelCore Sources/RelayCore Sources/Paths Sources/BondCore Sources/MessagingCore 2>/dev/null || true)
rule "a core imports no system module" \
  "$(grep -rnE '^((public|package|internal) )?import (Glibc|Foundation|FoundationEssentials|Dispatch|C[A-Z][A-Za-z]+)$' $cores | grep -vE 'import Causeway' || true)"
rule "a core reads no clock and awaits nothing" \
  "$(grep -rnE 'ContinuousClock\.|SuspendingClock\.|clock_gettime|(^|[^a-z`])await ' $cores | grep -vE ':[0-9]+: *//' || true)"
rule "nothing names a folder of one machine" \
  "$(grep -rnIE --exclude-dir=corpus --exclude-dir=.out --exclude-dir=__pycache__ '(^|[^A-Za-z0-9_.])/(work|home|root|Users)/[A-Za-z]' \
    $(ls -d *.md Makefile Package.swift .ci .swift-format docs scripts Sources Tests Benchmarks Fuzz 2>/dev/null) | grep -v '^scripts/lint.sh:' || true)"
rule "every script says what it is by its first line" \
  "$(for f in scripts/*.sh scripts/*.py; do head -c 2 "$f" | grep -q '#!' || echo "$f"; done)"
python3 - <<'PY' || failed=1
import pathlib, sys
bad = 0
for folder in ("scripts", "Tests/EndToEnd", "Benchmarks"):
    for path in sorted(pathlib.Path(folder).rglob("*.py")):
        try:
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except SyntaxError as error:
            print(f"lint: {path}:{error.lineno}: {error.msg}", file=sys.stderr)
            bad = 1
sys.exit(bad)
PY
[ $failed = 0 ] && echo "lint: clean"
exit $failed
