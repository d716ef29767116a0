#!/bin/sh
# setup.sh GROUP...: installs the Debian packages that the named groups need. Groups: build wheel demo demo-bond demo-messaging test bench
# bench-bond bench-messaging.
# Says what it installs and why; does nothing, quickly, when all is there. Services that come along are neither
# started nor enabled: nginx and sshd are used here as programs with our own configurations.
set -eu

# package, the file or command that proves it is there, why (tab-free, separated by |)
packages() {
  case $1 in
    build) cat <<'LIST'
pkg-config|cmd:pkg-config|lets SwiftPM find the C libraries
libssl-dev|pc:openssl|TLS and ciphers
libsqlite3-dev|pc:sqlite3|the relay's accounts
libyaml-dev|pc:yaml-0.1|configuration files
libucx-dev|file:/usr/include/ucp/api/ucp.h|headers of OpenUCX, which is loaded at run time
binutils|cmd:strip|strips the shipped binary
LIST
    ;;
    wheel) cat <<'LIST'
python3-dev|pc:python3-embed|headers for the Python extension
gcc|cmd:cc|compiles it
LIST
    ;;
    demo) ;;  # Python's standard library is all it needs
    demo-bond) cat <<'LIST'
iproute2|cmd:ip|network namespaces and virtual links
ethtool|cmd:ethtool|turns offloads off, so that packets are those of a wire
nftables|cmd:nft|NAT and firewalls between namespaces
procps|cmd:sysctl|settings of a namespace
wireguard-tools|cmd:wg|keys
iperf3|cmd:iperf3|the download
iputils-ping|cmd:ping|echoes
LIST
    ;;
    demo-messaging) cat <<'LIST'
libucx0|file:/usr/lib/x86_64-linux-gnu/libucp.so.0|messages between processes
LIST
    ;;
    test) cat <<'LIST'
nginx|cmd:nginx|reverse proxy in front of the relay
curl|cmd:curl|a visitor that is not ours
openssl|cmd:openssl|certificates for TLS tests
iproute2|cmd:ip|network namespaces and virtual links
sqlite3|cmd:sqlite3|checks the database from outside after kills
tmux|cmd:tmux|a real terminal for the live panel
zsh|cmd:zsh|runs its completion script
fish|cmd:fish|runs its completion script
procps|cmd:ps|looks for secrets in process lists
ethtool|cmd:ethtool|turns offloads off, so that packets are those of a wire
nftables|cmd:nft|NAT and firewalls between namespaces
wireguard-go|cmd:wireguard-go|the stock peer of a bond
wireguard-tools|cmd:wg|configures it, makes keys
iperf3|cmd:iperf3|load through a bond
iputils-ping|cmd:ping|echoes through a bond
strace|cmd:strace|counts system calls of packet threads
systemd|cmd:systemd-analyze|checks the bond's unit
libucx0|file:/usr/lib/x86_64-linux-gnu/libucp.so.0|messages between processes
python3-pip|file:/usr/lib/python3/dist-packages/pip|fetches another UCX to test against
python3-numpy|file:/usr/lib/python3/dist-packages/numpy|arrays as buffers
python3-uvloop|file:/usr/lib/python3/dist-packages/uvloop|an event loop that is not asyncio's
LIST
    ;;
    bench) cat <<'LIST'
nginx|cmd:nginx|the origin, and the two hops to compare with
libnginx-mod-stream|file:/usr/lib/nginx/modules/ngx_stream_module.so|TCP through nginx
wrk|cmd:wrk|HTTP load
curl|cmd:curl|bulk transfers
openssl|cmd:openssl|certificates for TLS between hops
openssh-client|cmd:ssh|the peer ssh -R
openssh-server|cmd:sshd|the peer ssh -R, as our own process on a high port
LIST
    ;;
    bench-bond) packages demo-bond; cat <<'LIST'
wireguard-go|cmd:wireguard-go|the peer: one encrypted path
mptcpize|cmd:mptcpize|the peer: MPTCP without a tunnel
LIST
    ;;
    bench-messaging) cat <<'LIST'
libucx0|file:/usr/lib/x86_64-linux-gnu/libucp.so.0|messages between processes
ucx-utils|cmd:ucx_perftest|the peer: raw UCX
python3-pip|file:/usr/lib/python3/dist-packages/pip|fetches Starway, the other peer
util-linux|cmd:taskset|puts both sides on one core
LIST
    ;;
    *) echo "setup.sh: no group '$1' (build, wheel, demo, demo-bond, demo-messaging, test, bench, bench-bond, bench-messaging)" >&2; exit 2 ;;
  esac
}

has_command() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

present() {
  case $1 in
    cmd:*) has_command "${1#cmd:}" ;;
    pc:*) has_command pkg-config && pkg-config --exists "${1#pc:}" ;;
    file:*) [ -e "${1#file:}" ] ;;
  esac
}

missing= reasons=
for group in "$@"; do
  list=$(packages "$group")
  while IFS='|' read -r name proof why; do
    [ -n "$name" ] || continue
    case " $missing " in *" $name "*) continue ;; esac
    present "$proof" && continue
    missing="$missing $name"
    reasons="$reasons  $name: $why
"
  done <<LIST
$list
LIST
done

case " $* " in *" build "*)
  if ! has_command swift; then
    echo "setup: no 'swift' on PATH. Install Swift 6.2 or later for Debian 12 from https://www.swift.org/install/linux/ and run this again." >&2
    exit 1
  fi ;;
esac

[ -n "$missing" ] || exit 0

if [ ! -e /etc/debian_version ]; then
  echo "setup: this is not Debian. Install what these Debian packages bring, then run make again:$missing" >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  printf 'setup: missing packages; installing them needs root. Run once:\n  sudo apt-get update && sudo apt-get install --no-install-recommends%s\n' "$missing" >&2
  exit 1
fi

printf 'setup: installing from Debian:\n%s' "$reasons"
log=$(mktemp)
policy=
cleanup() {
  rm -f "$log"
  [ -z "$policy" ] || rm -f "$policy"
}
trap cleanup EXIT
if [ ! -e /usr/sbin/policy-rc.d ]; then  # keeps apt from starting the services that come along
  policy=/usr/sbin/policy-rc.d
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -q && apt-get install -y -q --no-install-recommends $missing; } >"$log" 2>&1; then
  tail -n 15 "$log" >&2
  echo "setup: apt-get failed (last lines above): check the network and /etc/apt/sources.list, then run make again." >&2
  exit 1
fi
if [ -d /run/systemd/system ]; then
  for service in nginx ssh; do
    case " $missing " in *" $service "* | *" open$service-server "*) systemctl disable --quiet "$service" 2>/dev/null || true ;; esac
  done
fi
echo "setup: done"
