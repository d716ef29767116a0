"""Both ends of an encrypted link: `causeway bond up FILE`, and wireguard-go with `wg` in the same place."""

import base64
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import time

from .cases import Case
from .netns import SERVER, Host, Link, Network, command
from .processes import Process, Scratch, binary, family, run, tool, wait_for

COUNTER = itertools.count()
INNER = {"client": "10.66.0.2", "server": "10.66.0.1"}
INNER6 = {"client": "fd66::2", "server": "fd66::1"}
PORT = 51820
MTU = 1400


class Keys:
    """A key pair, in base64."""

    def __init__(self):
        self.private = command([tool("wg"), "genkey"]).stdout.strip()
        self.public = command([tool("wg"), "pubkey"], input=self.private + "\n").stdout.strip()


def preshared_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def unique_name(letter: str) -> str:
    """An interface's name; status sockets and UAPI sockets live beside those of others."""
    return f"cb{os.getpid()}{letter}{next(COUNTER)}"


def section(title: str, **values) -> str:
    """`[Title]` with its keys; a list gives a line for each value, None none."""
    lines = [f"[{title}]"]
    for key, value in values.items():
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                lines.append(f"{key} = {item}")
    return "\n".join(lines) + "\n"


class End:
    """What both kinds of ends share."""

    host: Host
    name: str
    process: Process

    @property
    def pids(self) -> list[int]:
        return family(self.process.pid) if self.process.running else []

    def wait_for_interface(self, seconds: float = 10):
        def there():
            if not self.process.running:
                raise AssertionError(f"ended with {self.process.child.poll()}: {self.process.story()}")
            done = self.host.run([tool("ip"), "-j", "addr", "show", self.name], check=False)
            return done.returncode == 0 and '"UP"' in done.stdout and "inet" in done.stdout

        wait_for(there, seconds, f"interface {self.name}: {self.process.story()}", every=0.02)

    def kill(self):
        """SIGKILL for all its processes at once: no clean-up runs."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()


class BondEnd(End):
    """`causeway bond up` in `host` with the text of a configuration. `rewrite` and `reload` change it under way."""

    def __init__(self, host: Host, text: str, name: str | None = None, env=None, wrap=()):
        self.host, self.text, self.name = host, text, name or unique_name("b")
        self.env, self.wrap = env, wrap
        self.scratch = Scratch("causeway-bond")
        self.path = self.scratch / f"{self.name}.conf"
        try:
            self.rewrite(text)
            self.start()
        except BaseException:
            self.stop()
            raise

    def rewrite(self, text: str):
        self.text = text
        self.path.write_text(text)
        self.path.chmod(0o600)

    def start(self):
        self.process = self.host.start([*self.wrap, binary(), "bond", "up", self.path], env=self.env)
        self.wait_for_interface()

    def command(self, *words, seconds: float = 10) -> tuple[int, str, str]:
        return run([binary(), "bond", *words], prefix=self.host.prefix, seconds=seconds)

    def reload(self, text: str | None = None):
        if text is not None:
            self.rewrite(text)
        code, out, errors = self.command("reload", self.name)
        if code != 0:
            raise AssertionError(f"reload ended with {code}: {out} {errors}")

    def status(self) -> dict:
        code, out, errors = self.command("status", self.name, "--json")
        if code != 0:
            raise AssertionError(f"status ended with {code}: {out} {errors}; {self.process.story()}")
        found = json.loads(out)
        return found[0] if isinstance(found, list) else found

    def paths(self, peer: int = 0) -> dict[str, dict]:
        """Paths by name."""
        return {path["name"] or str(path["id"]): path for path in self.status()["peers"][peer]["paths"]}

    def wait_status(self, condition, seconds: float = 10, what: str = "a status"):
        """The first status for which `condition(status)` holds."""
        last = None

        def check():
            nonlocal last
            last = self.status()
            return last if condition(last) else None

        try:
            return wait_for(check, seconds, what, every=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}; the last status: {json.dumps(last)[:3000]}") from None

    def restart(self):
        self.start()

    @property
    def worker(self) -> int:
        """The process that has packets and keys: the parent's child."""
        return wait_for(lambda: [pid for pid in self.pids if pid != self.process.pid], 5, "the packet process")[-1]

    def stop(self):
        if hasattr(self, "process"):
            self.process.stop(5)
        self.scratch.remove()
        with contextlib.suppress(OSError):  # ours by its name
            os.unlink(f"/var/lib/causeway/bond/{self.name}.state")


class WireGuardEnd(End):
    """wireguard-go in `host`. `peers`: list of dicts with public, allowed, endpoint, psk, keepalive; `routed`: with routes for what is
    allowed."""

    def __init__(self, host: Host, keys: Keys, addresses: list[str], peers: list[dict], port: int | None = None, mtu: int = MTU, routed: bool = True):
        self.host, self.name, self.routed = host, unique_name("w"), routed
        self.keys, self.addresses, self.peers, self.port, self.mtu = keys, addresses, peers, port, mtu
        self.start()

    def start(self):
        with contextlib.suppress(OSError):
            os.unlink(self.socket)  # left behind by one that was killed
        self.process = self.host.start([tool("wireguard-go"), "-f", self.name], env={"LOG_LEVEL": "verbose", "WG_PROCESS_FOREGROUND": "1"})
        try:
            # Between bind and listen the file is there already; wg would take it for one left behind, and remove it.
            wait_for(self.takes_orders, 5, f"wireguard-go: {self.process.story()}", every=0.02)
            text = section("Interface", PrivateKey=self.keys.private, ListenPort=self.port)
            for peer in self.peers:
                text += section(
                    "Peer", PublicKey=peer["public"], PresharedKey=peer.get("psk"), AllowedIPs=peer["allowed"],
                    Endpoint=peer.get("endpoint"), PersistentKeepalive=peer.get("keepalive"),
                )  # fmt: skip
            self.host.run([tool("wg"), "setconf", self.name, "/dev/stdin"], input=text)
            for address in self.addresses:
                self.host.ip(f"addr add {address} dev {self.name}" + (" nodad" if ":" in address else ""))
            self.host.ip(f"link set {self.name} mtu {self.mtu} up")
            for peer in self.peers if self.routed else []:
                for prefix in peer["allowed"].replace(" ", "").split(","):
                    self.host.ip(f"route replace {prefix} dev {self.name}", check=False)
        except BaseException:
            self.stop()
            raise

    @property
    def socket(self) -> str:
        return f"/var/run/wireguard/{self.name}.sock"

    def takes_orders(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(self.socket) == 0

    def show(self, what: str) -> str:
        return self.host.run([tool("wg"), "show", self.name, what]).stdout

    def last_handshake(self) -> int:
        """Unix time of the first peer's newest handshake; 0: never."""
        return int(self.show("latest-handshakes").split()[1])

    def endpoint(self) -> str:
        return self.show("endpoints").split()[1]

    def restart(self):
        self.start()

    def stop(self):
        self.process.stop(2)
        with contextlib.suppress(OSError):
            os.unlink(self.socket)


class BondPair:
    """A bond over all links of `network` (or those of `links`). The client's path i is bound to device p{i} and called p{i}.

    `server_options` and `client_options` are keys of `[Interface]`; `path_words[i]` follow path i's address; `server_more` ends the server's
    file.
    """

    def __init__(
        self,
        network: Network,
        links=None,
        client_options=None,
        server_options=None,
        both_options=None,
        path_words=None,
        peer_options=None,
        psk=False,
        address: str = SERVER,
        mtu: int | None = None,
        client_env=None,
        server_env=None,
        client_wrap=(),
        server_wrap=(),
        server_more: str = "",
    ):
        self.network, self.server_more = network, server_more
        self.links = list(range(len(network.links))) if links is None else list(links)
        self.keys = {"client": Keys(), "server": Keys()}
        self.psk = preshared_key() if psk else None
        self.mtu, self.address = mtu, address
        self.options = {"client": {**(both_options or {}), **(client_options or {})}, "server": {**(both_options or {}), **(server_options or {})}}
        self.path_words, self.peer_options = path_words or {}, peer_options or {}
        self.server = BondEnd(network.server, self.server_text(), env=server_env, wrap=server_wrap)
        try:
            self.client = BondEnd(network.client, self.client_text(), env=client_env, wrap=client_wrap)
        except BaseException:
            self.server.stop()
            raise

    def interface(self, side: str, **more) -> str:
        addresses = f"{INNER[side]}/24, {INNER6[side]}/64"
        return section("Interface", PrivateKey=self.keys[side].private, Address=addresses, MTU=self.mtu, **more, **self.options[side])

    def server_text(self) -> str:
        allowed = f"{INNER['client']}/32, {INNER6['client']}/128"
        peer = section("Peer", PublicKey=self.keys["client"].public, PresharedKey=self.psk, AllowedIPs=allowed)
        return self.interface("server", ListenPort=PORT) + peer + self.server_more

    def client_text(self, links=None) -> str:
        where = f"[{self.address}]" if ":" in self.address else self.address
        paths = [f"{where}:{PORT} via p{i} name=p{i} {self.path_words.get(i, '')}".rstrip() for i in (self.links if links is None else links)]
        allowed = f"{INNER['server']}/32, {INNER6['server']}/128"
        peer = section("Peer", PublicKey=self.keys["server"].public, PresharedKey=self.psk, AllowedIPs=allowed, Path=paths, **self.peer_options)
        return self.interface("client") + peer

    def wait_up(self, seconds: float = 10, paths: int | None = None):
        """Until an echo comes back and so many paths (all of them) are normal."""
        reachable(self.network.client, INNER["server"], seconds)
        wanted = len(self.links) if paths is None else paths

        def normal(status):
            return sum(1 for path in status["peers"][0]["paths"] if path["state"] == "normal") >= wanted

        self.client.wait_status(normal, seconds, f"{wanted} normal paths")

    @property
    def pids(self) -> list[int]:
        return self.client.pids + self.server.pids

    def stop(self):
        self.client.stop()
        self.server.stop()


def reachable(host: Host, address: str, seconds: float = 10, every: float = 0.1) -> float:
    """Seconds until `address` answers a ping from `host`; AssertionError when it doesn't."""
    began = time.monotonic()
    while True:
        words = [*host.prefix, tool("ping"), "-c1", "-W1", "-q", address]
        done = subprocess.run(words, capture_output=True, timeout=5)
        if done.returncode == 0:
            return time.monotonic() - began
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{address} didn't answer for {seconds} s")
        time.sleep(every)


class SourcePair(BondPair):
    """Paths that are bound to source addresses instead of devices."""

    def client_text(self, links=None) -> str:
        text = super().client_text(links)
        for index in self.links:
            text = text.replace(f"{self.address}:{PORT} via p{index}", f"10.77.{index}.2:{PORT} via 10.77.{index}.1")
        return text


class BondCase(Case):
    """Networks and bonds that go with the test."""

    needs = ("causeway", "network", "emulator", "wg", "iperf3", "ping")

    def network(self, links: list[Link], seed: int = 1) -> Network:
        return self.own(Network(links, seed), "close")

    def pair(self, network: Network, up: bool = True, **options) -> BondPair:
        pair = self.own(BondPair(network, **options), "stop")
        if up:
            pair.wait_up()
        return pair

    def alive(self, *ends: End):
        for end in ends:
            self.assertTrue(end.process.running, end.process.story())
