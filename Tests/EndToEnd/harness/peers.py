"""Peers from Debian and small ones of our own: nginx as a reverse proxy, an HTTP proxy with CONNECT, certificates."""

import contextlib
import socket
import subprocess
import threading

from .processes import Process, Scratch, free_port, listening, tool, wait_for

UPGRADES = {
    # Passes any Upgrade on, as our documentation recommends.
    "any": "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_out;",
    # What most people have copied: WebSocket and nothing else.
    "websocket": 'if ($http_upgrade !~* "^(websocket)?$") { return 400; } proxy_set_header Upgrade $http_upgrade; '
    "proxy_set_header Connection $connection_out;",
    # Knows nothing of upgrades.
    "none": "",
}


class Nginx:
    """nginx in front of `target_port`, one worker, no buffering of requests or answers."""

    def __init__(self, target_port: int, upgrade: str = "any", address: str = "127.0.0.1", target: str = "127.0.0.1", prefix=()):
        self.scratch = Scratch("causeway-nginx")
        at = self.scratch.path
        at.chmod(0o755)
        self.port = free_port()
        temporary = "".join(f"{kind}_temp_path {at}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (at / "nginx.conf").write_text(
            f"""worker_processes 1; daemon off; pid {at}/pid; error_log {at}/log error;
events {{ worker_connections 2048; }}
http {{
  access_log off; client_max_body_size 0; {temporary}
  map $http_upgrade $connection_out {{ default upgrade; '' ''; }}
  server {{
    listen {address}:{self.port};
    location / {{
      proxy_pass http://{target}:{target_port};
      proxy_http_version 1.1;
      proxy_request_buffering off; proxy_buffering off; proxy_read_timeout 3600s;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      {UPGRADES[upgrade]}
    }}
  }}
}}
"""
        )
        self.process = Process([tool("nginx"), "-c", at / "nginx.conf"], prefix=prefix)
        try:
            if not prefix:
                wait_for(lambda: listening(self.port, address), 5, f"nginx: {self.process.story()}")
        except BaseException:
            self.stop()
            raise

    def stop(self):
        self.process.stop()
        self.scratch.remove()


class ConnectProxy:
    """An HTTP proxy that knows CONNECT only. `seen` holds the heads; `require` is a Basic value it insists on."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, require: str | None = None):
        self.require = require
        self.seen: list[str] = []
        self.listener = socket.create_server((host, port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, near):
        with near, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                data = near.recv(4096)
                if not data:
                    return
                head += data
            head, _, rest = head.partition(b"\r\n\r\n")
            text = head.decode("latin-1")
            self.seen.append(text)
            method, target, _ = text.split("\r\n")[0].split(" ")
            if method != "CONNECT":
                near.sendall(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            if self.require and f"proxy-authorization: basic {self.require}".lower() not in text.lower():
                near.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            host, _, port = target.rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port)), 5) as far:
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                far.sendall(rest)
                far.settimeout(None)
                back = threading.Thread(target=self.pump, args=(far, near), daemon=True)
                back.start()
                self.pump(near, far)
                back.join()

    def pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Certificates:
    """An authority and a P-256 certificate: `ca`, `certificate`, `key`. `names` are subjectAltName entries."""

    def __init__(self, names=("DNS:localhost", "DNS:*.localhost", "IP:127.0.0.1"), days: int = 2):
        self.scratch = Scratch("causeway-certificates")
        at = self.scratch.path
        self.ca, self.certificate, self.key = at / "ca.pem", at / "server.pem", at / "server.key"

        def openssl(*words):
            subprocess.run([tool("openssl"), *map(str, words)], check=True, capture_output=True, cwd=at)

        for name in ("ca.key", "server.key"):
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name)
        openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=Test authority", "-days", days, "-out", "ca.pem")
        openssl("req", "-new", "-key", "server.key", "-subj", "/CN=localhost", "-out", "server.csr")
        (at / "names").write_text(f"subjectAltName={','.join(names)}\n")
        signing = ["-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", days]
        openssl("x509", "-req", *signing, "-extfile", "names", "-out", "server.pem")

    def remove(self):
        self.scratch.remove()


class Namespace:
    """A network namespace with one veth to the host's: `outside` is the host's address, `inside` its own. Needs root.

    `prefix` runs a program in it. Loopback is up on both sides; there is no route to anywhere else.
    """

    def __init__(self):
        unique = free_port() % 16000
        self.name = f"cw{unique}"
        subnet = f"10.{200 + unique // 4000}.{unique // 16 % 250}."
        base = unique % 16 * 16
        # Not `ip netns exec`: that remounts /sys, which a chroot refuses.
        self.prefix = (tool("nsenter"), f"--net=/run/netns/{self.name}")
        self.outside, self.inside = f"{subnet}{base + 1}", f"{subnet}{base + 2}"
        ip = tool("ip")
        try:
            for words in (
                f"netns add {self.name}",
                f"link add {self.name}o type veth peer name {self.name}i netns {self.name}",
                f"addr add {self.outside}/30 dev {self.name}o",
                f"link set {self.name}o up",
            ):
                subprocess.run([ip, *words.split()], check=True, capture_output=True)
            for words in (f"addr add {self.inside}/30 dev {self.name}i", f"link set {self.name}i up", "link set lo up"):
                subprocess.run([*self.prefix, ip, *words.split()], check=True, capture_output=True)
        except BaseException:
            self.remove()
            raise

    def ip(self, *words):
        """`ip` on the host's side, for links that go down and addresses that change."""
        subprocess.run([tool("ip"), *map(str, words)], check=True, capture_output=True)

    def remove(self):
        for words in (["link", "del", self.name + "o"], ["netns", "del", self.name]):
            subprocess.run([tool("ip"), *words], capture_output=True)


