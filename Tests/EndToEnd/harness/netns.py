"""Networks of namespaces: a client and a server with n links between them, each plain, shaped, behind a NAT, or through the link
emulator. Addresses of link i: 10.77.i.1 (client) and 10.77.i.2 (server), fd77:i::1 and fd77:i::2; the server also has 10.99.0.1 and
fd99::1 on its loopback, which every link reaches. Needs root. Names are unique; what a dead owner left behind goes first."""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import re
import select
import subprocess
import time

from .processes import REPOSITORY, Process, tool

PREFIX = "cwb"
COUNTER = itertools.count()
SERVER = "10.99.0.1"
SERVER6 = "fd99::1"
STEP_SECONDS = 10  # for any single `ip`, `tc`, `nft` command


def emulator_binary() -> str | None:
    """CAUSEWAY_EMULATOR, else the release build; None when neither is there."""
    places = [os.environ.get("CAUSEWAY_EMULATOR"), REPOSITORY / "build" / "link-emulator", REPOSITORY / ".build" / "release" / "link-emulator"]
    return next((str(place) for place in places if place and os.access(place, os.X_OK)), None)


@dataclasses.dataclass
class Link:
    """What lies between client and server.

    `both`, `up` (from the client) and `down`: the emulator's settings, see Tests/LinkEmulator/LinkSettings.swift; none of them: no emulator.
    `tbf`: Mbit/s both ways by the kernel's token bucket instead, with a queue of `queue` bytes.
    `nat`: a router with a masquerading NAT in front of the client; it forgets all mappings by `Network.rebind`.
    """

    both: dict | None = None
    up: dict | None = None
    down: dict | None = None
    tbf: float | None = None
    queue: int = 256 * 1024
    mtu: int = 1500
    nat: bool = False

    @property
    def emulated(self) -> bool:
        return any(part is not None for part in (self.both, self.up, self.down))


def shaped(mbit: float, delay: float = 0, queue: int = 256 * 1024, **more) -> Link:
    """An emulated link, the same both ways: Mbit/s, one-way milliseconds."""
    return Link(both={"rate": mbit * 1e6, "delay": delay, "queue": queue, **more})


class Host:
    """A network namespace."""

    def __init__(self, name: str):
        self.name = name
        command([tool("ip"), "netns", "add", name])
        # Not `ip netns exec`: that remounts /sys, which a chroot refuses.
        self.prefix = (tool("nsenter"), f"--net=/run/netns/{name}")
        self.ip("link set lo up")

    def run(self, words, check: bool = True, seconds: float = STEP_SECONDS, **options) -> subprocess.CompletedProcess:
        """Runs `words` (a string is split) to the end in the namespace."""
        return command([*self.prefix, *split(words)], check, seconds, **options)

    def start(self, words, **options) -> Process:
        return Process(split(words), prefix=self.prefix, **options)

    def ip(self, words: str, check: bool = True):
        return self.run([tool("ip"), *words.split()], check)

    def sysctl(self, name: str, value):
        self.run(["sysctl", "-qw", f"{name}={value}"])

    def offloads_off(self, interface: str):
        """So that what leaves are the packets of a wire: no longer than the MTU, with their checksums."""
        words = "tso off gso off gro off tx off tx-udp-segmentation off"
        self.run([tool("ethtool"), "-K", interface, *words.split()])

    def drop_udp(self, device: str):
        """A firewall: no UDP leaves by `device` (a * at its end matches any rest)."""
        rule = f'oifname "{device}" meta l4proto udp drop'
        self.run([tool("nft"), "-f", "-"], input=f"table inet block {{\nchain out {{\ntype filter hook output priority 0;\n{rule}\n}}\n}}\n")

    def hardware_address(self, interface: str) -> str:
        return json.loads(self.run([tool("ip"), "-j", "link", "show", interface]).stdout)[0]["address"]

    def remove(self):
        command([tool("ip"), "netns", "del", self.name], check=False)


def split(words) -> list[str]:
    return words.split() if isinstance(words, str) else [str(word) for word in words]


def command(words, check: bool = True, seconds: float = STEP_SECONDS, **options) -> subprocess.CompletedProcess:
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, **options)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip() or done.returncode}")
    return done


def remove_stale():
    """Namespaces of harnesses that don't live any more."""
    for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        found = re.fullmatch(PREFIX + r"(\d+)-\d+[a-z]", name)
        if found and not os.path.exists(f"/proc/{found[1]}"):
            command([tool("ip"), "netns", "del", name], check=False)


class Emulator:
    """The link emulator in `host`; faults by `set`."""

    def __init__(self, host: Host, links: list[dict], seed: int | None = None):
        program = emulator_binary()
        if program is None:
            raise FileNotFoundError("no link emulator: run scripts/build-tools.sh, or set CAUSEWAY_EMULATOR")
        configuration = {"links": links, **({"seed": seed} if seed is not None else {})}
        self.child = subprocess.Popen(
            [*host.prefix, program, json.dumps(configuration)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )
        self.buffer = b""
        try:
            ready = self.answer()
        except BaseException:
            self.stop()
            raise
        self.seed = ready["seed"]

    @property
    def pid(self) -> int:
        return self.child.pid

    def answer(self, seconds: float = 5) -> dict:
        end = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            if not select.select([self.child.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"the link emulator is silent for {seconds} s")
            data = os.read(self.child.stdout.fileno(), 65536)
            if not data:
                raise AssertionError(f"the link emulator ended: {self.child.stderr.read().decode(errors='replace')}")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def ask(self, **message) -> dict:
        self.child.stdin.write(json.dumps(message).encode() + b"\n")
        self.child.stdin.flush()
        answer = self.answer()
        if answer["event"] == "refused":
            raise ValueError(answer["reason"])
        return answer

    def set(self, link: str | int | None = None, direction: str = "both", **settings) -> float:
        """Changes a link (all: None); returns when, on time.monotonic()'s clock."""
        where = {} if link is None else {"link": str(link)}
        return self.ask(**where, direction=direction, **settings)["at"] / 1e9

    def counters(self) -> dict:
        return self.ask(counters=True)["links"]

    def stop(self):
        with contextlib.suppress(OSError):
            self.child.stdin.close()
        try:
            self.child.wait(3)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        for stream in (self.child.stdout, self.child.stderr):
            stream.close()


class Network:
    """`client`, `server`, and `emulator` (None without emulated links). Devices are p0, p1, … on both ends."""

    def __init__(self, links: list[Link], seed: int | None = None):
        remove_stale()
        self.links = links
        self.stem = f"{PREFIX}{os.getpid()}-{next(COUNTER)}"
        self.hosts: list[Host] = []
        self.emulator: Emulator | None = None
        try:
            self.client, self.server = self.host("c"), self.host("s")
            self.middle = self.host("e") if any(link.emulated for link in links) else None
            self.router = self.host("r") if any(link.nat for link in links) else None
            for host in filter(None, (self.client, self.server, self.router)):
                host.sysctl("net.ipv4.conf.all.rp_filter", 0)
                host.sysctl("net.ipv4.conf.default.rp_filter", 0)
                host.sysctl("net.ipv6.conf.all.accept_dad", 0)
                host.sysctl("net.ipv6.conf.default.accept_dad", 0)
            if self.middle:
                self.middle.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
                self.middle.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
            if self.router:
                self.router.sysctl("net.ipv4.ip_forward", 1)
            self.server.ip(f"addr add {SERVER}/32 dev lo")
            self.server.ip(f"addr add {SERVER6}/128 dev lo")
            for index, link in enumerate(links):
                self.join(index, link)
            if self.middle:
                emulated = []
                for index, link in enumerate(links):
                    if link.emulated:
                        parts = {name: getattr(link, name) for name in ("both", "up", "down") if getattr(link, name) is not None}
                        emulated.append({"name": str(index), "left": f"l{index}", "right": f"r{index}", **parts})
                self.emulator = Emulator(self.middle, emulated, seed)
        except BaseException:
            self.close()
            raise

    def host(self, letter: str) -> Host:
        host = Host(self.stem + letter)
        self.hosts.append(host)
        return host

    def veth(self, one: Host, one_name: str, two: Host, two_name: str, mtu: int):
        command([tool("ip"), *f"link add {one_name} mtu {mtu} netns {one.name} type veth peer name {two_name} mtu {mtu} netns {two.name}".split()])

    def join(self, index: int, link: Link):
        near, near_name = (self.router, f"w{index}") if link.nat else (self.client, f"p{index}")
        device = f"p{index}"
        if link.emulated:
            self.veth(near, near_name, self.middle, f"l{index}", link.mtu)
            self.veth(self.middle, f"r{index}", self.server, device, link.mtu)
            for name in (f"l{index}", f"r{index}"):
                self.middle.ip(f"link set {name} up")
        else:
            self.veth(near, near_name, self.server, device, link.mtu)
        near.ip(f"addr add 10.77.{index}.1/24 dev {near_name}")
        self.server.ip(f"addr add 10.77.{index}.2/24 dev {device}")
        if not link.nat:
            near.ip(f"addr add fd77:{index}::1/64 dev {near_name} nodad")
            self.server.ip(f"addr add fd77:{index}::2/64 dev {device} nodad")
        for host, name in ((near, near_name), (self.server, device)):
            if link.emulated or link.tbf:
                host.offloads_off(name)
            host.ip(f"link set {name} up")
            if link.tbf:
                host.run([tool("tc"), *f"qdisc replace dev {name} root tbf rate {link.tbf}mbit burst 16kb limit {link.queue}".split()])
        # Neighbours that need no asking: a blackhole is one of packets.
        ends = ((near, near_name, 1), (self.server, device, 2))
        for (host, name, _), (other, other_name, number) in (ends, ends[::-1]):
            address = other.hardware_address(other_name)
            host.ip(f"neigh replace 10.77.{index}.{number} lladdr {address} dev {name} nud permanent")
            if not link.nat:
                host.ip(f"neigh replace fd77:{index}::{number} lladdr {address} dev {name} nud permanent")
        if link.nat:
            self.join_router(index)
        self.routes(index)

    def join_router(self, index: int):
        """The client's side of a NAT: 10.78.i.1 behind the router's 10.78.i.254."""
        self.veth(self.client, f"p{index}", self.router, f"c{index}", 1500)
        self.client.ip(f"addr add 10.78.{index}.1/24 dev p{index}")
        self.router.ip(f"addr add 10.78.{index}.254/24 dev c{index}")
        self.client.ip(f"link set p{index} up")
        self.router.ip(f"link set c{index} up")
        self.client.ip(f"route add 10.77.{index}.0/24 via 10.78.{index}.254 dev p{index}")
        rule = f'oifname "w{index}" masquerade fully-random'
        rules = f"table ip nat{index} {{\nchain post {{\ntype nat hook postrouting priority srcnat;\n{rule}\n}}\n}}\n"
        self.router.run([tool("nft"), "-f", "-"], input=rules)
        self.router.ip(f"rule add iif c{index} lookup {1000 + index}")
        self.route_router(index)

    def route_router(self, index: int):
        """What comes in by a link goes on by that link: one router stands for several that know nothing of each other."""
        self.router.ip(f"route replace {SERVER}/32 via 10.77.{index}.2 dev w{index} table {1000 + index}")

    def routes(self, index: int):
        """Every link leads to the server's loopback addresses; the first is preferred. After a link went down: again."""
        link = self.links[index]
        via = f"10.78.{index}.254" if link.nat else f"10.77.{index}.2"
        self.client.ip(f"route replace {SERVER}/32 via {via} dev p{index} metric {100 + index}")
        if not link.nat:
            self.client.ip(f"-6 route replace {SERVER6}/128 via fd77:{index}::2 dev p{index} metric {100 + index}")

    def client_address(self, index: int) -> str:
        return f"10.{78 if self.links[index].nat else 77}.{index}.1"

    def rebind(self, index: int):
        """The NAT of link `index` forgets its mappings: masquerade drops them when its interface goes down. New ones get other ports."""
        self.router.ip(f"link set w{index} down")
        self.router.ip(f"link set w{index} up")
        address = self.server.hardware_address(f"p{index}")
        self.router.ip(f"neigh replace 10.77.{index}.2 lladdr {address} dev w{index} nud permanent")
        self.route_router(index)

    def unplug(self, index: int):
        """The client's device goes down, as a cable that is pulled."""
        self.client.ip(f"link set p{index} down")

    def plug(self, index: int):
        self.client.ip(f"link set p{index} up")
        link = self.links[index]
        if not link.nat:
            address = self.server.hardware_address(f"p{index}")
            self.client.ip(f"addr replace fd77:{index}::1/64 dev p{index} nodad")  # IPv6 addresses go with the link
            self.client.ip(f"neigh replace 10.77.{index}.2 lladdr {address} dev p{index} nud permanent")
            self.client.ip(f"neigh replace fd77:{index}::2 lladdr {address} dev p{index} nud permanent")
        else:
            self.client.ip(f"route replace 10.77.{index}.0/24 via 10.78.{index}.254 dev p{index}")
        self.routes(index)

    def change_address(self, index: int, last: int):
        """The client's address on link `index` becomes 10.77.i.`last`."""
        self.client.ip(f"addr flush dev p{index} scope global")
        self.client.ip(f"addr add 10.77.{index}.{last}/24 dev p{index}")
        self.client.ip(f"addr add fd77:{index}::{last:x}/64 dev p{index} nodad")
        mine, its = self.client.hardware_address(f"p{index}"), self.server.hardware_address(f"p{index}")
        for family in ("10.77.{}.{}", "fd77:{}::{}"):
            number = last if "." in family else f"{last:x}"
            self.server.ip(f"neigh replace {family.format(index, number)} lladdr {mine} dev p{index} nud permanent")
            self.client.ip(f"neigh replace {family.format(index, 2)} lladdr {its} dev p{index} nud permanent")
        self.routes(index)

    def close(self):
        if self.emulator:
            with contextlib.suppress(Exception):
                self.emulator.stop()
            self.emulator = None
        while self.hosts:
            with contextlib.suppress(Exception):
                self.hosts.pop().remove()


def missing_for_networks(emulated: bool = True) -> str | None:
    """Why no network can be built here, or None."""
    if os.getuid() != 0:
        return "needs root for network namespaces"
    for name in ("ip", "tc", "nsenter", "ethtool", "nft"):
        if not tool(name):
            return f"{name} is not installed: run 'make setup'"
    if not pathlib.Path("/dev/net/tun").exists():
        return "this kernel has no /dev/net/tun"
    if emulated and not emulator_binary():
        return "no link emulator: run scripts/build-tools.sh, or set CAUSEWAY_EMULATOR"
    return None
