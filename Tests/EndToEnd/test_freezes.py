"""SIGSTOP: a peer that is there and says nothing, for longer than the heartbeat's 9 s, and for longer than a session lives."""

import hashlib
import json
import signal
import time

from harness.cases import Case
from harness.causeway import Client, Relay, connect
from harness.http import Visitor, fetch
from harness.origin import Origin, TCPService, body_of, hash_of
from harness.processes import listening, wait_for

MIB = 1 << 20


class Freezes(Case):
    patient = True

    def stand(self):
        relay = self.own(Relay(), "stop")
        return relay, relay.account(), self.own(Origin(), "close")

    def client(self, relay, token, *words) -> Client:
        return self.own(Client(*words, server=relay.url, token=token), "stop")

    def events(self, client) -> list[str]:
        return [json.loads(line)["event"] for line in client.process.lines if line.startswith("{")]

    def test_a_frozen_peer_comes_back(self):
        self.side_by_side({"client": lambda: self.comes_back("client"), "relay": lambda: self.comes_back("relay")})

    def comes_back(self, who):
        relay, token, origin = self.stand()
        client = self.client(relay, token, "http", origin.port, "--subdomain", "frozen")
        frozen = (client if who == "client" else relay).process
        size = 64 * MIB
        with Visitor(relay.port, client.host, seconds=40) as visitor:
            visitor.request("GET", f"/bytes/{size}")
            self.assertEqual(visitor.head().status, 200)
            digest = hashlib.sha256(visitor.exactly(MIB))
            frozen.signal(signal.SIGSTOP)
            stopped = time.monotonic()
            if who == "client":
                relay.process.find(lambda line: "session detached" in line, 12, errors=True)
            else:
                client.process.event("reconnecting", 12)
            noticed = time.monotonic() - stopped
            self.assertLess(noticed, 10.5, f"dead after 9 s of silence, not {noticed:.1f}: {client.process.story()}")
            time.sleep(max(0, stopped + 12 - time.monotonic()))
            frozen.signal(signal.SIGCONT)
            thawed = time.monotonic()
            client.process.event("resumed", 5)
            self.assertLess(time.monotonic() - thawed, 2)
            digest.update(visitor.exactly(size - MIB))
        self.assertEqual(digest.hexdigest(), hash_of(size))
        self.assertIn("reconnecting", self.events(client))

    def test_beyond_its_limit_a_session_ends_and_another_one_has_its_urls(self):
        self.side_by_side({"client frozen": self.client_frozen, "relay frozen": self.relay_frozen})

    def client_frozen(self):
        relay, token, origin = self.stand()
        service = self.own(TCPService("echo"), "close")
        client = self.client(relay, token, "http", origin.port, "--subdomain", "late")
        tcp = self.client(relay, token, "tcp", service.port)
        size = 512 * MIB
        with Visitor(relay.port, client.host, seconds=60) as visitor, connect(tcp.port, seconds=60) as pipe:
            pipe.sendall(b"ping")
            self.assertEqual(pipe.recv(4), b"ping")
            visitor.request("GET", f"/bytes/{size}")
            visitor.head()
            first = visitor.exactly(MIB)
            client.process.signal(signal.SIGSTOP)
            tcp.process.signal(signal.SIGSTOP)
            stopped = time.monotonic()
            rest = visitor.exactly(size - MIB)
            took = time.monotonic() - stopped
            self.assertTrue(33 < took < 41, f"9 s to notice and 30 s to wait; {took:.1f}")
            self.assertLess(len(rest), size - MIB, "a truncated body looked whole")
            self.assertEqual(first + rest[: 3 * MIB], body_of(min(4 * MIB, MIB + len(rest))))
            with self.assertRaises(ConnectionResetError, msg="a TCP visitor must see a cut, never an end"):
                pipe.recv(1)
        client.process.signal(signal.SIGCONT)
        tcp.process.signal(signal.SIGCONT)
        thawed = time.monotonic()
        wait_for(lambda: fetch(relay.port, client.host, "/bytes/1", seconds=8).status == 200, 10, "the same URL")
        wait_for(lambda: listening(tcp.port), 5, "the same port")
        with connect(tcp.port) as pipe:
            pipe.sendall(b"again")
            self.assertEqual(pipe.recv(5), b"again")
        self.assertLess(time.monotonic() - thawed, 3)
        self.assertNotIn("url_changed", self.events(client) + self.events(tcp))

    def relay_frozen(self):
        relay, token, origin = self.stand()
        client = self.client(relay, token, "http", origin.port, "--subdomain", "late")
        size = 512 * MIB
        with Visitor(relay.port, client.host, seconds=70) as visitor:
            visitor.request("GET", f"/bytes/{size}")
            visitor.head()
            visitor.exactly(MIB)
            relay.process.signal(signal.SIGSTOP)
            time.sleep(43)
            relay.process.signal(signal.SIGCONT)
            thawed = time.monotonic()
            wait_for(lambda: fetch(relay.port, client.host, "/bytes/1", seconds=8).status == 200, 14, "the same URL")
            self.assertLess(time.monotonic() - thawed, 12)
            self.assertLess(len(visitor.exactly(size - MIB)), size - MIB, "a truncated body looked whole")
        self.assertNotIn("url_changed", self.events(client))
