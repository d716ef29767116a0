"""At every moment some timer leads back to a healthy session: a relay that falls silent in each step of connecting."""

import hashlib
import socket
import time

from harness.cases import Case
from harness.causeway import Client, Relay
from harness.http import Visitor, fetch
from harness.origin import Origin, hash_of
from harness.peers import Certificates
from harness.processes import wait_for
from harness.proxy import Pair, Proxy
from harness.wire import Wiretap

MIB = 1 << 20
STEP = 10  # each step's own limit, in seconds
SLACK = 1.5  # the next attempt within 0.75 s, and its work

# Before which of the relay's words the connection falls silent, and how many seconds lead back at most. Silence about the upgrade
# counts as a refusal of causeway/3; a session's own heartbeat (9 s) is the shorter limit once there is one.
FIRST = {"upgrade": STEP, "HeartbeatAck": STEP, "SessionStarted": STEP, "TunnelCreated": 9}
AGAIN = {"upgrade": STEP, "HeartbeatAck": STEP, "SessionResumed": STEP, "synchronize": 9}


class Deaf(Proxy):
    """Accepts the first connection and never says a word to it; all others pass."""

    def make_pair(self, near, far) -> Pair:
        return DeafPair(self, near, far) if self.accepted == 1 else Pair(self, near, far)


class DeafPair(Pair):
    def filter(self, data, index):
        return b""


class Hangs(Case):
    needs = ("causeway", "openssl")
    patient = True

    @classmethod
    def prepare(cls):
        cls.certificates = cls.keep(Certificates(), "remove")
        cls.relay = cls.keep(Relay(), "stop")
        options = ("--tls-cert", cls.certificates.certificate, "--tls-key", cls.certificates.key)
        cls.secure = cls.keep(Relay(*options, listen=("https://127.0.0.1:0",)), "stop")
        cls.tokens = {cls.relay: cls.relay.account(), cls.secure: cls.secure.account()}
        cls.origin = cls.keep(Origin(), "close")

    def client(self, link, relay, *options, scheme="http", **more) -> Client:
        words = ("http", self.origin.port, *options)
        return self.own(Client(*words, server=f"{scheme}://127.0.0.1:{link.port}", token=self.tokens[relay], **more), "stop")

    def test_the_first_session_stands_after_a_silent_step(self):
        self.side_by_side({**{step: lambda step=step: self.first(step) for step in FIRST}, "TLS": self.tls, "nobody accepts": self.full})

    def first(self, step):
        link = self.own(Wiretap(self.relay.port), "close")
        link.hold = step
        started = time.monotonic()
        client = self.client(link, self.relay, "--subdomain", f"first-{step.lower()}", ready=False)
        client.wait_ready(FIRST[step] + 15)
        took = time.monotonic() - started
        self.assertTrue(link.held.is_set(), "nothing was held back")
        self.assertLess(took, FIRST[step] + SLACK)
        self.assertEqual(fetch(self.relay.port, client.host, "/bytes/1").status, 200)

    def tls(self):
        link = self.own(Deaf(self.secure.port), "close")
        started = time.monotonic()
        client = self.client(link, self.secure, "--ca", self.certificates.ca, scheme="https", ready=False)
        client.wait_ready(STEP + 15)
        self.assertGreater(link.accepted, 1, "nothing was held back")
        self.assertLess(time.monotonic() - started, STEP + SLACK)

    def full(self):
        """A listener whose queue is full: the SYN gets no answer."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
            port = listener.getsockname()[1]
            crowd = []
            for _ in range(4):
                crowd.append(socket.socket())
                crowd[-1].setblocking(False)
                crowd[-1].connect_ex(("127.0.0.1", port))
            started = time.monotonic()
            words = ("http", self.origin.port)
            client = self.own(Client(*words, server=f"http://127.0.0.1:{port}", token=self.tokens[self.relay], ready=False), "stop")
            client.process.find(lambda line: "took longer" in line, STEP + 5, errors=True)
            self.assertLess(time.monotonic() - started, STEP + SLACK)
            for connection in crowd:
                connection.close()
        link = self.own(Proxy(self.relay.port, port=port), "close")
        back = time.monotonic()
        client.wait_ready(STEP + 15)
        self.assertLess(time.monotonic() - back, STEP + SLACK)
        del link

    def test_a_session_goes_on_after_a_silent_step(self):
        self.side_by_side({step: lambda step=step: self.again(step) for step in AGAIN})

    def again(self, step):
        size = 32 * MIB
        link = self.own(Wiretap(self.relay.port), "close")
        client = self.client(link, self.relay, "--subdomain", f"again-{step.lower()}")
        with Visitor(self.relay.port, client.host, seconds=30) as visitor:
            visitor.request("GET", f"/bytes/{size}")
            self.assertEqual(visitor.head().status, 200)
            digest = hashlib.sha256(visitor.exactly(MIB))
            link.hold = step
            link.cut()
            started = time.monotonic()
            wait_for(link.held.is_set, 5, f"the silence before {step}")
            digest.update(visitor.exactly(size - MIB))
            took = time.monotonic() - started
        self.assertEqual(digest.hexdigest(), hash_of(size))
        self.assertLess(took, AGAIN[step] + SLACK)
