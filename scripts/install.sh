#!/bin/sh
# install.sh PREFIX [FINAL]: copies the built binary, its completions, the bond's systemd unit and the README under PREFIX.
# FINAL is where PREFIX will be when it is used (a package is built elsewhere).
set -eu
cd "$(dirname "$0")/.."
prefix=${1:?install.sh: give the prefix, for example /usr/local}
if [ ! -x build/causeway ]; then
  echo "install: build/causeway is missing; run 'make build' first" >&2
  exit 1
fi
install -D -m 755 build/causeway "$prefix/bin/causeway"
install -D -m 644 README.md "$prefix/share/doc/causeway/README.md"
unit="$prefix/lib/systemd/system/causeway-bond@.service"
mkdir -p "$(dirname "$unit")"
sed "s|@PREFIX@|${2:-$prefix}|" "scripts/systemd/causeway-bond@.service" >"$unit"
chmod 644 "$unit"
completion() {
  text=$(build/causeway completions "$1")
  mkdir -p "$(dirname "$2")"
  printf '%s\n' "$text" >"$2"
  chmod 644 "$2"
}
completion bash "$prefix/share/bash-completion/completions/causeway"
completion zsh "$prefix/share/zsh/site-functions/_causeway"
completion fish "$prefix/share/fish/vendor_completions.d/causeway.fish"
echo "installed under $prefix: bin/causeway, completions for bash, zsh and fish, causeway-bond@.service, README"
