"""The peers: each stands between visitors and the same origin, as a relay and a client would.

A peer offers `web`, `up`, `ws` and `tcp` (ports on 127.0.0.1), `host(kind)` (the Host field a visitor sends, or None),
`roots` (the processes whose family is its relay and its client) and `stop()`.
"""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import threading

from harness.processes import Process, binary, family, free_port, listening, run, tool, wait_for
from harness.proxy import Proxy

HERE = pathlib.Path(__file__).resolve().parent

KINDS = ("web", "up", "ws", "tcp")


class Ground:
    """What all peers share: files, certificates, the compiled probe, and the origin's processes."""

    def __init__(self, folder: pathlib.Path, bulk_mib: int):
        self.folder = folder
        self.bulk = bulk_mib << 20
        self.processes: list[Process] = []
        self.probe = self.compile("probe", "-lpthread")
        self.alloccount = self.compile("alloccount.so", "-shared", "-fPIC", "-ldl", source="alloccount.c")
        self.files()
        self.certificates()
        self.origin = {"web": self.nginx("origin", "origin.conf", FILES=folder / "files")}
        for kind, words in (("up", ["sink", "0"]), ("tcp", ["echo", "0"])):
            self.origin[kind] = int(self.begin([self.probe, *words]).line())
        self.origin["ws"] = int(self.begin([sys.executable, HERE / "load" / "websockets.py", "serve"]).line())
        wait_for(lambda: listening(self.origin["web"]), 5, "nginx as the origin")

    def compile(self, name: str, *flags, source: str | None = None) -> str:
        compiler = tool("cc") or tool("gcc") or tool("clang")
        if not compiler:
            raise SystemExit("bench: no C compiler (cc, gcc or the toolchain's clang) for the probe")
        output = str(self.folder / name)
        libraries = [f for f in flags if f.startswith("-l")]
        others = [f for f in flags if not f.startswith("-l")]
        path = HERE / "load" / (source or name + ".c")
        subprocess.run([compiler, "-O2", *others, "-o", output, str(path), *libraries], check=True)
        return output

    def files(self):
        """1k and 1g: random within a MiB, numbered by MiB, so that a byte at a wrong place changes the hash."""
        import hashlib
        import random

        (self.folder / "files").mkdir()
        block = bytearray(random.Random(1).randbytes(1 << 20))
        digest = hashlib.sha256()
        with open(self.folder / "files" / "1g", "wb") as file:
            for index in range(self.bulk >> 20):
                block[:8] = index.to_bytes(8, "big")
                file.write(block)
                digest.update(block)
        self.bulk_hash = digest.hexdigest()
        (self.folder / "files" / "1k").write_bytes(block[8 : 8 + 1024])
        for path in (self.folder, self.folder / "files"):
            path.chmod(0o755)  # nginx workers are another user when root starts nginx

    def certificates(self):
        """An own authority and a P-256 certificate for localhost."""
        at = self.folder

        def openssl(*words):
            subprocess.run([tool("openssl"), *words], check=True, capture_output=True, cwd=at)

        def key(name):
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name)

        key("ca.key")
        openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=Benchmark authority", "-days", "2", "-out", "ca.pem")
        key("server.key")
        openssl("req", "-new", "-key", "server.key", "-subj", "/CN=localhost", "-out", "server.csr")
        (at / "names").write_text("subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1\n")
        words = ["-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        openssl("x509", "-req", *words, "-extfile", "names", "-out", "server.pem")

    def begin(self, words, **options) -> Process:
        process = Process(words, **options)
        self.processes.append(process)
        return process

    def configuration(self, name: str, template: str, **values) -> pathlib.Path:
        text = (HERE / "nginx" / template).read_text()
        values = {"DIR": self.folder, "NAME": name, "MODULES": "/usr/lib/nginx/modules"} | values
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        path = self.folder / f"{name}.conf"
        path.write_text(text)
        return path

    def nginx(self, name: str, template: str, **values) -> int:
        port = free_port()
        self.begin([tool("nginx"), "-c", self.configuration(name, template, LISTEN=port, **values)])
        return port

    def stop(self):
        for process in self.processes:
            process.stop()


class Peer:
    name = "?"
    title = "?"

    def __init__(self, ground: Ground):
        self.ground = ground
        self.processes: list[Process] = []
        self.ports: dict[str, int] = {}
        self.relay: Process | None = None
        self.client: Process | None = None
        try:
            self.begin()
        except BaseException:
            self.stop()
            raise

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot run here, or None."""
        return None

    def host(self, kind: str) -> str | None:
        return None

    def start(self, words, **options) -> Process:
        process = Process(words, **options)
        self.processes.append(process)
        return process

    def family(self) -> list[int]:
        """Relay and client with all children."""
        return family(*(p.pid for p in self.processes))

    def halves(self) -> tuple[list[int], list[int]]:
        """The same, apart: relay, client."""
        relay = family(self.relay.pid) if self.relay else []
        return relay, family(self.client.pid) if self.client else []

    def linked(self, port: int) -> int:
        """Where the other half of the peer finds `port`; `with_link` puts a proxy there."""
        return port

    def stop(self):
        for process in reversed(self.processes):
            process.stop()


class Direct(Peer):
    name, title = "direct", "direct"

    def begin(self):
        self.ports = dict(self.ground.origin)


class NginxHops(Peer):
    name, title = "nginx2", "two nginx hops"
    tls = False

    @classmethod
    def missing(cls):
        return None if tool("nginx") else "nginx is not installed"

    def begin(self):
        ground, at = self.ground, self.ground.folder
        far = {k: free_port() for k in ("web", "tcp")}
        near = {k: free_port() for k in ("web", "tcp")}
        link = {k: self.linked(far[k]) for k in far}
        origin = ground.origin
        common = {"TLS": "", "HTTP_TLS": "", "STREAM_TLS": "", "SCHEME": "http"}
        server, trust_http, trust_stream = {}, {}, {}
        if self.tls:
            pair = f"ssl_certificate {at}/server.pem; ssl_certificate_key {at}/server.key; ssl_protocols TLSv1.3;"
            server = {"TLS": "ssl", "HTTP_TLS": pair, "STREAM_TLS": pair}
            verify = (
                f"proxy_ssl_protocols TLSv1.3; proxy_ssl_verify on; proxy_ssl_trusted_certificate {at}/ca.pem; "
                "proxy_ssl_name localhost; proxy_ssl_server_name on; "
            )
            trust_http = {"SCHEME": "https", "HTTP_TLS": verify}
            trust_stream = {"STREAM_TLS": "proxy_ssl on; " + verify}
        second = ground.configuration(
            self.name + "-client", "hop.conf", WEB=far["web"], TCP=far["tcp"], NEXT_WEB=origin["web"], NEXT_UP=origin["up"],
            NEXT_WS=origin["ws"], NEXT_TCP=origin["tcp"], **(common | server),
        )  # fmt: skip
        first = ground.configuration(
            self.name + "-relay", "hop.conf", WEB=near["web"], TCP=near["tcp"], NEXT_WEB=link["web"], NEXT_UP=link["web"],
            NEXT_WS=link["web"], NEXT_TCP=link["tcp"], **(common | trust_http | trust_stream),
        )  # fmt: skip
        self.client = self.start([tool("nginx"), "-c", second])
        self.relay = self.start([tool("nginx"), "-c", first])
        self.ports = {"web": near["web"], "up": near["web"], "ws": near["web"], "tcp": near["tcp"]}
        for process, ports in ((self.client, far), (self.relay, near)):
            wait_for(lambda p=ports: all(listening(port) for port in p.values()), 5, f"nginx: {process.story()}")



class NginxHopsTLS(NginxHops):
    name, title, tls = "nginx2tls", "two nginx hops, TLS 1.3", True


class SecureShell(Peer):
    name, title = "ssh", "ssh -R"

    @classmethod
    def missing(cls):
        for name in ("ssh", "sshd", "ssh-keygen"):
            if not tool(name):
                return f"{name} is not installed"
        if os.getuid() != 0:
            return "sshd as somebody else than root cannot log its own user in everywhere"
        return None

    def begin(self):
        at = self.ground.folder / f"ssh-{free_port()}"
        at.mkdir(mode=0o700)
        for name in ("host", "user"):
            subprocess.run([tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", at / name], check=True)
        (at / "authorized").write_text((at / "user.pub").read_text())
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # sshd's privilege separation insists
        port = free_port()
        options = {
            "Port": port, "ListenAddress": "127.0.0.1", "HostKey": at / "host", "AuthorizedKeysFile": at / "authorized",
            "PidFile": "none", "UsePAM": "no", "StrictModes": "no", "PasswordAuthentication": "no", "PermitRootLogin": "yes",
            "AllowTcpForwarding": "yes", "MaxSessions": "100",
        }  # fmt: skip
        (at / "sshd_config").write_text("".join(f"{k} {v}\n" for k, v in options.items()))
        self.relay = self.start([tool("sshd"), "-D", "-e", "-f", at / "sshd_config"])
        wait_for(lambda: listening(port), 5, f"sshd: {self.relay.story()}")
        self.ports = {kind: free_port() for kind in KINDS}
        words = [
            tool("ssh"), "-F", "none", "-N", "-i", at / "user", "-p", self.linked(port), "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "ExitOnForwardFailure=yes", "-o", "BatchMode=yes",
        ]  # fmt: skip
        for kind in KINDS:
            words += ["-R", f"127.0.0.1:{self.ports[kind]}:127.0.0.1:{self.ground.origin[kind]}"]
        self.client = self.start([*words, "root@127.0.0.1"])
        wait_for(lambda: listening(self.ports["web"]), 10, f"ssh -R: {self.client.story()}")


class Chisel(Peer):
    name, title = "chisel", "chisel"

    @classmethod
    def missing(cls):
        return None if tool("chisel") else "chisel is not installed"

    def begin(self):
        port = free_port()
        self.ports = {kind: free_port() for kind in KINDS}
        self.relay = self.start([tool("chisel"), "server", "--host", "127.0.0.1", "--port", port, "--reverse"])
        wait_for(lambda: listening(port), 5, "chisel server")
        routes = [f"R:127.0.0.1:{self.ports[k]}:127.0.0.1:{self.ground.origin[k]}" for k in KINDS]
        self.client = self.start([tool("chisel"), "client", f"http://127.0.0.1:{self.linked(port)}", *routes])
        wait_for(lambda: all(listening(p) for p in self.ports.values()), 10, "chisel client")


class Frp(Peer):
    name, title = "frp", "frp"

    @classmethod
    def missing(cls):
        return None if tool("frps") and tool("frpc") else "frps and frpc are not installed"

    def begin(self):
        at = self.ground.folder
        port, web, tcp = free_port(), free_port(), free_port()
        (at / "frps.toml").write_text(f'bindAddr = "127.0.0.1"\nbindPort = {port}\nvhostHTTPPort = {web}\n')
        text = f'serverAddr = "127.0.0.1"\nserverPort = {self.linked(port)}\n'
        for kind in ("web", "up", "ws"):
            text += f'[[proxies]]\nname = "{kind}"\ntype = "http"\nlocalPort = {self.ground.origin[kind]}\n'
            text += f'customDomains = ["{self.host(kind)}"]\n'
        text += f'[[proxies]]\nname = "tcp"\ntype = "tcp"\nlocalPort = {self.ground.origin["tcp"]}\nremotePort = {tcp}\n'
        (at / "frpc.toml").write_text(text)
        self.relay = self.start([tool("frps"), "-c", at / "frps.toml"])
        wait_for(lambda: listening(port), 5, "frps")
        self.client = self.start([tool("frpc"), "-c", at / "frpc.toml"])
        self.ports = {"web": web, "up": web, "ws": web, "tcp": tcp}
        wait_for(lambda: listening(tcp), 10, "frpc")

    def host(self, kind):
        return None if kind == "tcp" else f"{kind}.localhost"


class Causeway(Peer):
    """Ours: one session with four tunnels."""

    name, title = "ours", "causeway"
    tls = False
    fallback = False
    relay_environment: dict[str, str] = {}
    client_environment: dict[str, str] = {}

    @classmethod
    def missing(cls):
        return None if binary() else "no causeway binary: make build"

    def begin(self):
        at = self.ground.folder / f"{self.name}-{free_port()}"
        at.mkdir(mode=0o700)
        self.data = at / "relay"
        code, self.token, errors = run([binary(), "relay", "account", "add", "bench@example.org", "--data", self.data])
        if code != 0:
            raise AssertionError(f"account add ended with {code}: {errors}")
        visitors, lane = free_port(), free_port()
        options = ["--listen", f"127.0.0.1:{visitors}", "--public-url", f"http://localhost:{visitors}"]
        server = f"http://127.0.0.1:{visitors}"
        if self.tls:
            options += ["--listen", f"https://127.0.0.1:{lane}", "--tls-cert", self.ground.folder / "server.pem"]
            options += ["--tls-key", self.ground.folder / "server.key"]
            server = f"https://127.0.0.1:{lane}"
        else:
            server = f"http://127.0.0.1:{self.linked(visitors)}"
        refusal = threading.Thread(target=refuse_upgrade, args=(visitors,)) if self.fallback else None
        tcp = free_port()
        words = [binary(), "relay", "--data", self.data, *options, "--tcp-ports", f"{tcp}-{tcp}", "--json"]
        origin = self.ground.origin
        lines = [f"server: {server}", "tunnels:"]
        for kind in KINDS:
            protocol = "tcp" if kind == "tcp" else "http"
            lines += [f"  - name: {kind}", f"    protocol: {protocol}", f"    local: 127.0.0.1:{origin[kind]}"]
            lines += [f"    remote_port: {tcp}"] if kind == "tcp" else [f"    subdomain: {kind}"]
        (at / "causeway.yml").write_text("\n".join(lines) + "\n")
        environment = {"CAUSEWAY_TOKEN": self.token.strip(), "XDG_CONFIG_HOME": str(at), "HOME": str(at)} | self.client_environment
        start = [binary(), "start", at / "causeway.yml", "-q"]
        start += ["--ca", self.ground.folder / "ca.pem"] if self.tls else []
        if refusal:
            refusal.start()
            wait_for(lambda: listening_quietly(visitors), 5, "the refusing listener")
            self.client = self.start(start, env=environment)
            refusal.join(10)
        self.relay = self.start(words, env=self.relay_environment)
        self.relay.line(0, 10)
        if not refusal:
            self.client = self.start(start, env=environment)
        urls = dict(self.client.line(index, 15).split("=", 1) for index in range(len(KINDS)))
        if set(urls) != set(KINDS):
            raise AssertionError(f"start announced {urls}")
        self.ports = {"web": visitors, "up": visitors, "ws": visitors, "tcp": tcp}

    def host(self, kind):
        return None if kind == "tcp" else f"{kind}.localhost:{self.ports['web']}"


class CausewayTLS(Causeway):
    name, title, tls = "ours-tls", "causeway, TLS 1.3", True


class CausewayWebSocket(Causeway):
    name, title, fallback = "ours-ws", "causeway over WebSocket", True


def listening_quietly(port: int) -> bool:
    """Whether somebody listens, seen in /proc: a probing connection would be taken for the client's."""
    wanted = f"0100007F:{port:04X}"
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted and fields[3] == "0A":
            return True
    return False


def refuse_upgrade(port: int):
    """Stands where the relay will be, refuses the first `Upgrade: causeway/3` as a middlebox would, and goes.

    The client then falls back to WebSocket and remembers it, so that the measured way has no extra hop.
    """
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(10)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                head = b""
                with contextlib.suppress(OSError):
                    while b"\r\n\r\n" not in head and (more := connection.recv(4096)):
                        head += more
                if b"causeway/3" in head:
                    listener.close()
                    with contextlib.suppress(OSError):
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                        connection.shutdown(socket.SHUT_WR)
                        connection.recv(1)
                    return


def with_link(peer_class):
    """The same peer with a `Proxy` between client and relay, and the list that its start fills with the proxies."""
    links: list[Proxy] = []

    def link(self, port):
        links.append(Proxy(port))
        return links[-1].port

    return type("Linked" + peer_class.__name__, (peer_class,), {"linked": link}), links


PEERS = {p.name: p for p in (Direct, NginxHops, NginxHopsTLS, SecureShell, Chisel, Frp, Causeway, CausewayTLS, CausewayWebSocket)}
