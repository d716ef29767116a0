"""Through others: nginx in front of the relay, and HTTP proxies on the client's way out."""

import base64
import re

from harness.cases import Case, StandCase
from harness.causeway import Client, Relay, connect
from harness.http import Visitor, fetch
from harness.origin import Origin, body_of, hash_of
from harness.peers import Certificates, ConnectProxy, Namespace, Nginx
from harness.websocket import WebSocket

MIB = 1 << 20


class BehindNginx(Case):
    needs = ("causeway", "nginx")

    def through(self, upgrade: str):
        relay = self.own(Relay("--trusted-proxy", "127.0.0.1/32"), "stop")
        nginx = self.own(Nginx(relay.port, upgrade=upgrade), "stop")
        origin = self.own(Origin(), "close")
        client = self.own(Client("http", origin.port, server=f"http://127.0.0.1:{nginx.port}", token=relay.account()), "stop")
        host = client.host
        for port in (nginx.port, relay.port):
            self.assertEqual(fetch(port, host, "/hash", method="POST", body=body_of(3 * MIB)).json()["sha256"], hash_of(3 * MIB))
            self.assertTrue(fetch(port, host, "/bytes/5242880").body == body_of(5 * MIB))
        with connect(nginx.port) as connection:
            socket = WebSocket(connection, host)
            socket.send(b"x" * 100_000)
            self.assertEqual(len(socket.receive()[1]), 100_000)
        got = fetch(nginx.port, host, "/echo", fields=[("X-Forwarded-For", "203.0.113.9")]).json()
        self.assertEqual([v for n, v in got["fields"] if n.lower() == "x-forwarded-proto"], ["http"])
        with Visitor(nginx.port, host) as visitor:
            visitor.request("GET", "/slow/20?every=20")
            self.assertEqual(visitor.response().body, body_of(20))

    def test_a_proxy_that_passes_any_upgrade(self):
        self.through("any")

    def test_a_proxy_that_passes_websockets_only(self):
        self.through("websocket")

    def test_a_proxy_without_upgrades_is_explained_and_retried(self):
        relay = self.own(Relay(), "stop")
        nginx = self.own(Nginx(relay.port, upgrade="none"), "stop")
        client = self.own(Client("http", 9, server=f"http://127.0.0.1:{nginx.port}", token=relay.account(), ready=False), "stop")
        line = client.process.find(lambda text: "upgrade" in text.lower() or "proxy" in text.lower() or "relay" in text.lower(), 10, errors=True)
        self.assertNotIn("\n", line)

    def test_public_url_of_a_relay_behind_a_proxy(self):
        relay = self.own(Relay("--public-url", "https://tunnels.example", "--domain", "tunnels.example"), "stop")
        origin = self.own(Origin(), "close")
        client = self.own(Client("http", origin.port, "--subdomain", "orders", server=f"http://127.0.0.1:{relay.port}", token=relay.account()), "stop")
        self.assertEqual(client.url, "https://orders.tunnels.example")
        self.assertEqual(fetch(relay.port, "orders.tunnels.example", "/bytes/3").body, body_of(3))


class TLS(Case):
    needs = ("causeway", "openssl")

    @classmethod
    def prepare(cls):
        # Not *.localhost: a wildcard for all names of one label is accepted by nobody.
        cls.pair = cls.keep(Certificates(names=("DNS:localhost", "DNS:tunnels.test", "DNS:*.tunnels.test", "IP:127.0.0.1")), "remove")
        options = ("--tls-cert", cls.pair.certificate, "--tls-key", cls.pair.key, "--domain", "tunnels.test")
        cls.relay = cls.keep(Relay(*options, listen=("https://127.0.0.1:0", "http://127.0.0.1:0")), "stop")
        cls.token = cls.relay.account()
        cls.origin = cls.keep(Origin(), "close")

    def client(self, *options, **more) -> Client:
        server = f"https://localhost:{self.relay.port}"
        return self.own(Client("http", self.origin.port, *options, server=server, token=self.token, **more), "stop")

    def test_the_tunnel_url_is_of_the_https_listener(self):
        client = self.client("--ca", self.pair.ca)
        self.assertEqual((client.url[:8], client.port), ("https://", self.relay.port))

    def test_visitors_over_tls(self):
        import ssl

        client = self.client("--ca", self.pair.ca)
        context = ssl.create_default_context(cafile=str(self.pair.ca))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context.minimum_version = context.maximum_version = version
            with Visitor(self.relay.port, f"{client.host}:{client.port}") as visitor:
                visitor.connection = context.wrap_socket(visitor.connection, server_hostname=client.host)
                visitor.request("POST", "/hash", body=body_of(MIB))
                self.assertEqual(visitor.response().json()["sha256"], hash_of(MIB))
                visitor.request("GET", "/echo")
                proto = [v for n, v in visitor.response().json()["fields"] if n.lower() == "x-forwarded-proto"]
                self.assertEqual(proto, ["https"])

    def test_truncation_stays_visible_over_tls(self):
        import ssl

        client = self.client("--ca", self.pair.ca)
        context = ssl.create_default_context(cafile=str(self.pair.ca))
        for target, version, is_whole in (
            ("/untilclose/70000", "1.0", True), ("/die/70000?as=close&by=rst", "1.0", False), ("/die/70000?as=chunked&by=fin", "1.0", False),
            ("/die/70000?as=chunked&by=fin", "1.1", False), ("/die/70000?as=length&by=fin", "1.1", False),
        ):  # fmt: skip
            with self.subTest(target=target, version=version), Visitor(self.relay.port, f"{client.host}:{client.port}") as visitor:
                visitor.connection = context.wrap_socket(visitor.connection, server_hostname=client.host, suppress_ragged_eofs=False)
                visitor.request("GET", target, version=f"HTTP/{version}")
                try:
                    answer = visitor.response()
                    self.assertEqual(answer.complete, is_whole)
                except ssl.SSLError:
                    self.assertFalse(is_whole)

    def test_no_early_answer_is_lost_over_tls(self):
        import ssl

        client = self.client("--ca", self.pair.ca)
        context = ssl.create_default_context(cafile=str(self.pair.ca))
        for _ in range(20):
            with Visitor(self.relay.port, f"{client.host}:{client.port}") as visitor:
                visitor.connection = context.wrap_socket(visitor.connection, server_hostname=client.host)
                visitor.request("POST", "/early/413", [("Content-Length", 2 * MIB)])
                visitor.send(bytes(2 * MIB))
                self.assertEqual(visitor.response().status, 413)

    def test_an_unknown_authority_ends_the_first_connect_with_69(self):
        client = self.client(ready=False)
        self.assertEqual(client.process.wait(10), 69)
        self.assertRegex(" ".join(client.process.errors), "(?i)certificate.*--ca|--ca.*certificate")

    def test_k_connects_and_says_what_it_gives_up(self):
        client = self.client("-k")
        client.process.find(lambda line: re.search("(?i)not verified|unverified|without verif|anyone|nobody", line), 5, errors=True)

    def test_a_wrong_name_is_refused(self):
        pair = self.own(Certificates(names=("DNS:other.example",)), "remove")
        relay = self.own(Relay("--tls-cert", pair.certificate, "--tls-key", pair.key, listen=("https://127.0.0.1:0",)), "stop")
        client = self.own(Client("http", 9, "--ca", pair.ca, server=f"https://localhost:{relay.port}", token="x" * 30, ready=False), "stop")
        self.assertEqual(client.process.wait(10), 69)


class WaysOut(Case):
    """The client lives in a network namespace whose only neighbour is the host's end of a virtual link."""

    needs = ("causeway", "root", "ip", "openssl")

    @classmethod
    def prepare(cls):
        cls.space = cls.keep(Namespace(), "remove")
        outside = cls.space.outside
        cls.pair = cls.keep(Certificates(names=("IP:127.0.0.1", "DNS:relay.internal", f"IP:{outside}")), "remove")
        cls.secure = cls.keep(Relay("--tls-cert", cls.pair.certificate, "--tls-key", cls.pair.key, listen=(f"https://{outside}:0",)), "stop")
        cls.open = cls.keep(Relay(listen=(f"http://{outside}:0",)), "stop")

    def setUp(self):
        self.proxy = self.own(ConnectProxy(host=self.space.outside), "close")

    def start(self, relay: Relay, server: str, environment: dict, *options, ready=True) -> Client:
        return self.own(
            Client("http", 9, *options, server=server, token=relay.account(f"a{self.proxy.port}@example.org"), env=environment, prefix=self.space.prefix, ready=ready),
            "stop",
        )

    @property
    def proxy_url(self) -> str:
        return f"http://{self.space.outside}:{self.proxy.port}"

    def test_wss_goes_by_https_proxy(self):
        for name in ("HTTPS_PROXY", "https_proxy"):
            with self.subTest(variable=name):
                before = len(self.proxy.seen)
                server = f"https://{self.space.outside}:{self.secure.port}"
                client = self.own(Client("http", 9, "--ca", self.pair.ca, server=server, token=self.secure.account(f"{name.lower()}{name[0] == 'H'}@example.org"), env={name: self.proxy_url}, prefix=self.space.prefix), "stop")
                self.assertTrue(client.url)
                self.assertGreater(len(self.proxy.seen), before)
                self.assertTrue(self.proxy.seen[-1].startswith(f"CONNECT {self.space.outside}:{self.secure.port} "))

    def test_ws_goes_by_http_proxy(self):
        for name in ("HTTP_PROXY", "http_proxy"):
            with self.subTest(variable=name):
                del self.proxy.seen[:]
                token = self.open.account(f"{'upper' if name.isupper() else 'lower'}{self.proxy.port}@example.org")
                server = f"http://{self.space.outside}:{self.open.port}"
                self.own(Client("http", 9, server=server, token=token, env={name: self.proxy_url}, prefix=self.space.prefix), "stop")
                self.assertTrue(self.proxy.seen[0].startswith("CONNECT "))

    def test_each_scheme_minds_its_own_variable(self):
        self.start(self.open, f"http://{self.space.outside}:{self.open.port}", {"HTTPS_PROXY": self.proxy_url})
        self.assertEqual(self.proxy.seen, [])

    def test_no_proxy_is_obeyed(self):
        for value in (self.space.outside, "*", f"example.org,{self.space.outside}"):
            with self.subTest(value=value):
                environment = {"HTTP_PROXY": self.proxy_url, "http_proxy": self.proxy_url, "NO_PROXY": value}
                server = f"http://{self.space.outside}:{self.open.port}"
                token = self.open.account(f"no{len(value)}x{self.proxy.port}@example.org")
                self.own(Client("http", 9, server=server, token=token, env=environment, prefix=self.space.prefix), "stop")
                self.assertEqual(self.proxy.seen, [])

    def test_credentials_of_the_proxy_are_sent_to_it_and_shown_nowhere(self):
        self.proxy.require = base64.b64encode(b"me:pro xy").decode()
        url = f"http://me:pro%20xy@{self.space.outside}:{self.proxy.port}"
        client = self.start(self.open, f"http://{self.space.outside}:{self.open.port}", {"http_proxy": url})
        self.assertTrue(client.url)
        story = "\n".join(client.process.errors + client.process.lines)
        self.assertNotIn("pro%20xy", story)
        self.assertNotIn("pro xy", story)

    def test_a_refusing_proxy_is_named_and_retried(self):
        self.proxy.require = "never"
        client = self.start(self.open, f"http://{self.space.outside}:{self.open.port}", {"http_proxy": self.proxy_url}, ready=False)
        client.process.find(lambda line: "407" in line and self.space.outside in line, 10, errors=True)
        self.assertTrue(client.process.running)
        self.proxy.require = None
        client.wait_ready(20)

    def test_a_plain_server_elsewhere_warns_in_one_line(self):
        client = self.start(self.open, f"http://{self.space.outside}:{self.open.port}", {})
        lines = [line for line in client.process.errors if "http:" in line and ("plain" in line.lower() or "encrypt" in line.lower())]
        self.assertEqual(len(lines), 1, client.process.errors)


class LoopbackAndProxies(StandCase):
    def test_loopback_never_goes_through_a_proxy(self):
        proxy = self.own(ConnectProxy(), "close")
        everywhere = {name: f"http://127.0.0.1:{proxy.port}" for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")}
        client = self.another("http", self.origin.port, env=everywhere)
        self.assertEqual(fetch(self.port, client.host, "/bytes/3").body, body_of(3))
        self.assertEqual(proxy.seen, [])
