"""What breaks, and what of it a visitor notices."""

import hashlib
import os
import signal
import socket
import struct
import threading
import time

from harness import websocket
from harness.cases import Case, LinkedCase
from harness.causeway import Client, Relay, connect
from harness.http import Closed, Visitor, fetch
from harness.origin import Origin, TCPService, body_of, hash_of, pages_of
from harness.processes import proportional_bytes, wait_for
from harness.proxy import Pair, Proxy

MIB = 1 << 20
STALL = 1 * MIB  # two windows of a stream that nobody drains (64 KiB each), and pages that the allocator keeps


class Cuts(LinkedCase):
    """The connection between client and relay is cut by RST; streams go on at the right byte."""

    def test_mid_download(self):
        client = self.client()
        size = 24 * MIB
        cuts = [self.link.passed(size * part // 4, toward_caller=False) for part in (1, 2, 3)]
        digest, count, done = hashlib.sha256(), 0, 0
        with Visitor(self.relay.port, self.host(client), seconds=20) as visitor:
            visitor.request("GET", f"/bytes/{size}")
            self.assertEqual(visitor.head().status, 200)
            while count < size:
                piece = visitor.exactly(min(256 * 1024, size - count))
                if not piece:
                    break
                digest.update(piece)
                count += len(piece)
                if done < 3 and cuts[done].is_set():
                    self.assertGreater(self.link.cut(), 0)
                    done += 1
        self.assertEqual((done, count, digest.hexdigest()), (3, size, hash_of(size)))
        self.assertEqual(client.process.event("resumed", 5)["event"], "resumed")

    def test_mid_upload(self):
        client = self.client()
        size, sent, cuts = 24 * MIB, 0, 0
        with Visitor(self.relay.port, self.host(client), seconds=20) as visitor:
            visitor.request("POST", "/hash", [("Content-Length", size)])
            for piece in pages_of(size):
                visitor.send(piece)
                sent += len(piece)
                if cuts < 3 and sent >= size * (cuts + 1) // 4:
                    self.assertGreater(self.link.cut(), 0)
                    cuts += 1
            answer = visitor.response()
        self.assertEqual((answer.status, answer.json()["bytes"], answer.json()["sha256"]), (200, size, hash_of(size)))

    def test_mid_websocket(self):
        client = self.client()
        with connect(self.relay.port, seconds=20) as connection:
            channel = websocket.WebSocket(connection, self.host(client))
            for index in range(60):
                payload = struct.pack("!I", index) * 2000
                channel.send(payload)
                if index % 20 == 10:
                    self.link.cut()  # may be gone already, when the client still reconnects
                self.assertEqual(channel.receive(), (websocket.BINARY, payload))

    def test_mid_tcp_both_ways(self):
        service = self.own(TCPService("echo"), "close")
        client = self.client("tcp", service.port)
        size = 16 * MIB
        digest, count, cuts = hashlib.sha256(), 0, 0
        with connect(client.port, seconds=20) as connection:
            sender = threading.Thread(target=lambda: [connection.sendall(piece) for piece in pages_of(size)])
            sender.start()
            while count < size:
                data = connection.recv(65536)
                self.assertTrue(data, f"ended after {count} of {size}")
                digest.update(data)
                count += len(data)
                if cuts < 3 and count >= size * (cuts + 1) // 4:
                    self.assertGreater(self.link.cut(), 0)
                    cuts += 1
            sender.join()
        self.assertEqual((cuts, digest.hexdigest()), (3, hash_of(size)))

    def test_half_closes_cross_a_cut(self):
        service = self.own(TCPService("sink"), "close")
        client = self.client("tcp", service.port)
        with connect(client.port, seconds=20) as connection:
            connection.sendall(body_of(100_000))
            wait_for(lambda: service.accepted, 5, "the connection at the service")
            self.link.accepting = False
            self.link.cut()
            connection.sendall(body_of(100_000))
            connection.shutdown(socket.SHUT_WR)
            time.sleep(0.5)
            self.link.accepting = True
            expected = hashlib.sha256(body_of(100_000) * 2).hexdigest()
            answer = b""
            while data := connection.recv(4096):
                answer += data
            self.assertEqual(answer.decode(), f"200000 {expected}\n")

    def test_a_cut_while_idle(self):
        client = self.client()
        for _ in range(5):
            self.link.cut()
            self.assertEqual(fetch(self.relay.port, self.host(client), "/bytes/10").body, body_of(10))

    def test_a_silent_link_is_left(self):
        """Frozen, not cut: nothing says that it is dead but the silence. Another one is made within ten seconds or so."""
        client = self.client()
        self.link.freeze()
        started = time.monotonic()
        client.process.event("reconnecting", 15)
        self.assertLess(time.monotonic() - started, 10.5)  # dead after 9 s of silence
        self.link.cut()
        self.link.thaw()
        wait_for(lambda: fetch(self.relay.port, self.host(client), "/bytes/1", seconds=10).status == 200, 15, "service again")

    def cut_and_noticed(self):
        """Cuts, and waits until the relay knows: a request that is quicker belongs to the session already."""
        seen = len(self.relay.process.errors)
        self.link.cut()
        self.relay.process.find(lambda line: "session detached" in line, 5, since=seen, errors=True)

    def test_requests_wait_for_a_detached_session(self):
        client = self.client()
        self.link.accepting = False
        self.cut_and_noticed()
        timer = threading.Timer(1.5, lambda: setattr(self.link, "accepting", True))
        timer.start()
        started = time.monotonic()
        answer = fetch(self.relay.port, self.host(client), "/bytes/1", seconds=10)
        timer.join()
        self.assertEqual(answer.status, 200)
        self.assertLess(time.monotonic() - started, 6)

    def test_requests_wait_five_seconds_and_no_longer(self):
        client = self.client()
        self.link.accepting = False
        self.cut_and_noticed()
        started = time.monotonic()
        answer = fetch(self.relay.port, self.host(client), "/bytes/1", seconds=10)
        took = time.monotonic() - started
        self.assertEqual(answer.status, 503)
        self.assertTrue(answer.value("retry-after").isdigit())
        self.assertTrue(4.9 < took < 6, took)


class Unknowing(Proxy):
    """Something in the middle that spoils `Upgrade: causeway/3`; `fallbacks` counts the WebSockets that came instead."""

    fallbacks = 0

    def make_pair(self, near, far) -> Pair:
        return UnknowingPair(self, near, far)


class UnknowingPair(Pair):
    def filter(self, data, index):
        if index == 0 and self.passed[0] == 0:
            data = bytes(data)
            self.proxy.fallbacks += b"Upgrade: websocket" in data
            return data.replace(b"Upgrade: causeway/3", b"Upgrade: something")
        return data


class CutsInTheFallback(Cuts):
    """All of the same over WebSocket."""

    def setUp(self):
        super().setUp()
        self.link = self.own(Unknowing(self.relay.port), "close")

    def tearDown(self):
        self.assertGreater(self.link.fallbacks, 0)


class Limits(LinkedCase):
    patient = True

    def test_a_resume_after_the_limit_ends_the_streams_visibly(self):
        client = self.client()
        size = 64 * MIB
        with Visitor(self.relay.port, self.host(client), seconds=60) as visitor:
            visitor.request("GET", f"/bytes/{size}")
            visitor.head()
            self.assertEqual(len(visitor.exactly(MIB)), MIB)
            self.link.accepting = False
            self.link.cut()
            started = time.monotonic()
            rest = visitor.exactly(size - MIB)
            took = time.monotonic() - started
        self.assertLess(len(rest), size - MIB, "a truncated body looked whole")
        self.assertTrue(body_of(size).startswith(body_of(MIB) + rest[: 4 * MIB]))
        self.assertTrue(29 < took < 33, f"streams ended {took:.0f} s after the cut; the limit is 30")
        self.link.accepting = True
        wait_for(lambda: fetch(self.relay.port, self.host(client), "/bytes/1", seconds=10).status == 200, 25, "service again with the same name")
        self.assertTrue(client.process.running)


class Kills(LinkedCase):
    def test_the_relay_comes_back_with_everything(self):
        client = self.client()
        for _ in range(3):
            self.relay.process.kill()
            time.sleep(0.5)
            self.relay.restart()
            back = time.monotonic()
            wait_for(lambda: self.status(client) == 200, 5, "the old URL")
            self.assertLess(time.monotonic() - back, 1)
        self.assertEqual([line for line in client.process.lines if "url_changed" in line], [])

    def status(self, client) -> int:
        try:
            return fetch(self.relay.port, self.host(client), "/bytes/1", seconds=8).status
        except (OSError, Closed):
            return 0

    def test_the_relays_death_is_a_cut_for_visitors(self):
        client = self.client()
        with Visitor(self.relay.port, self.host(client)) as visitor:
            visitor.request("GET", f"/bytes/{64 * MIB}")
            visitor.head()
            visitor.exactly(MIB)
            self.relay.process.kill()
            self.assertLess(len(visitor.exactly(64 * MIB - MIB)), 64 * MIB - MIB)

    def test_a_new_client_takes_the_name_of_a_killed_one(self):
        first = self.client("http", self.origin.port, "--subdomain", "heir")
        first.process.kill()
        started = time.monotonic()
        second = self.client("http", self.origin.port, "--subdomain", "heir")
        self.assertLess(time.monotonic() - started, 1)
        self.assertEqual(second.url, first.url)
        self.assertEqual(fetch(self.relay.port, self.host(second), "/bytes/1").status, 200)

    def test_a_new_client_takes_the_name_of_a_frozen_one(self):
        first = self.client("http", self.origin.port, "--subdomain", "frozen")
        first.process.signal(signal.SIGSTOP)
        started = time.monotonic()
        second = self.client("http", self.origin.port, "--subdomain", "frozen")
        self.assertLess(time.monotonic() - started, 4)
        self.assertEqual(fetch(self.relay.port, self.host(second), "/bytes/1").status, 200)

    def test_a_killed_clients_streams_end_visibly(self):
        client = self.client()
        with Visitor(self.relay.port, self.host(client), seconds=50) as visitor:
            visitor.request("GET", f"/bytes/{64 * MIB}")
            visitor.head()
            visitor.exactly(MIB)
            client.process.kill()
            self.assertLess(len(visitor.exactly(64 * MIB - MIB)), 64 * MIB - MIB)

    def test_a_client_stopped_for_a_while_goes_on(self):
        client = self.client()
        size = 32 * MIB
        with Visitor(self.relay.port, self.host(client), seconds=40) as visitor:
            visitor.request("GET", f"/bytes/{size}")
            visitor.head()
            digest = hashlib.sha256(visitor.exactly(MIB))
            client.process.signal(signal.SIGSTOP)
            time.sleep(12)  # longer than the 9 s after which a silent lane is dead
            client.process.signal(signal.SIGCONT)
            digest.update(visitor.exactly(size - MIB))
        self.assertEqual(digest.hexdigest(), hash_of(size))

    def test_a_relay_stopped_for_a_while_goes_on(self):
        client = self.client()
        size = 32 * MIB
        with Visitor(self.relay.port, self.host(client), seconds=40) as visitor:
            visitor.request("GET", f"/bytes/{size}")
            visitor.head()
            digest = hashlib.sha256(visitor.exactly(MIB))
            self.relay.process.signal(signal.SIGSTOP)
            time.sleep(12)
            self.relay.process.signal(signal.SIGCONT)
            digest.update(visitor.exactly(size - MIB))
        self.assertEqual(digest.hexdigest(), hash_of(size))


class Stalls(Case):
    """Nobody reads: memory is bounded by windows, and the others go on. Measures memory, so it runs alone."""

    exclusive = True

    def setUp(self):
        self.relay = self.own(Relay(), "stop")
        self.origin = self.own(Origin(), "close")
        self.client = self.own(Client("http", self.origin.port, server=self.relay.url, token=self.relay.account()), "stop")
        self.host = f"{self.client.host}:{self.client.port}"
        for _ in range(3):  # warm pools are not growth
            fetch(self.relay.port, self.host, "/bytes/1048576")
        self.empty = self.memory()

    def memory(self) -> int:
        return proportional_bytes([self.relay.pid, self.client.pid])

    def settled(self) -> int:
        history = [self.memory()]
        for _ in range(24):
            time.sleep(0.25)
            history.append(self.memory())
            if len(history) > 8 and max(history[-5:]) - min(history[-5:]) < 256 * 1024:
                break
        return history[-1]

    def others_complete(self):
        for count in (10, MIB, 8 * MIB):
            answer = fetch(self.relay.port, self.host, f"/bytes/{count}", seconds=20)
            self.assertEqual((answer.complete, len(answer.body)), (True, count))
        self.assertEqual(fetch(self.relay.port, self.host, "/hash", method="POST", body=body_of(MIB)).json()["sha256"], hash_of(MIB))

    def test_a_visitor_who_stops_reading_a_gib(self):
        with Visitor(self.relay.port, self.host) as visitor:
            visitor.request("GET", f"/bytes/{1024 * MIB}")
            self.assertEqual(visitor.head().status, 200)
            growth = self.settled() - self.empty
            self.others_complete()
            self.assertLess(growth, STALL, f"{growth / MIB:.1f} MiB")

    def test_an_origin_that_stops_reading_an_upload(self):
        with Visitor(self.relay.port, self.host) as visitor:
            visitor.request("POST", "/stall", [("Content-Length", 1024 * MIB)])
            visitor.connection.settimeout(1)
            sent = 0
            try:
                for piece in pages_of(1024 * MIB):
                    visitor.connection.sendall(piece)
                    sent += len(piece)
            except TimeoutError:
                pass
            self.assertLess(sent, 64 * MIB, "somebody swallows what nobody reads")
            growth = self.settled() - self.empty
            self.others_complete()
            self.assertLess(growth, STALL, f"{growth / MIB:.1f} MiB")
        self.origin.release.set()

    def test_64_stalled_downloads(self):
        visitors = [self.own(Visitor(self.relay.port, self.host), "close") for _ in range(64)]
        for visitor in visitors:
            visitor.request("GET", f"/bytes/{64 * MIB}")
            self.assertEqual(visitor.head().status, 200)
        growth = self.settled() - self.empty
        self.others_complete()
        self.assertLess(growth, 20 * MIB, f"{growth / MIB:.1f} MiB")

    def test_memory_comes_back(self):
        visitors = [Visitor(self.relay.port, self.host) for _ in range(64)]
        for visitor in visitors:
            visitor.request("GET", f"/bytes/{64 * MIB}")
            visitor.head()
        for visitor in visitors:
            visitor.close()
        self.settled()
        self.others_complete()
        self.assertLess(self.memory() - self.empty, 12 * MIB)

    def test_many_stalls_in_a_row_leave_nothing_behind(self):
        before = len(os.listdir(f"/proc/{self.relay.pid}/fd"))
        for _ in range(200):
            with Visitor(self.relay.port, self.host) as visitor:
                visitor.request("GET", f"/bytes/{16 * MIB}")
                visitor.head()
        wait_for(lambda: len(os.listdir(f"/proc/{self.relay.pid}/fd")) <= before + 2, 10, "the relay to close its descriptors")


class OriginsAndVisitors(LinkedCase):
    def test_an_origin_that_dies_in_a_body_is_a_cut(self):
        client = self.client()
        for kind in ("length", "chunked"):
            answer = fetch(self.relay.port, self.host(client), f"/die/200000?as={kind}&by=rst")
            self.assertFalse(answer.complete)
        self.assertEqual(fetch(self.relay.port, self.host(client), "/bytes/1").status, 200)

    def test_a_visitor_gone_mid_request_frees_the_origin(self):
        client = self.client()
        for _ in range(20):
            visitor = Visitor(self.relay.port, self.host(client))
            visitor.request("POST", "/hash?gone", [("Content-Length", 1_000_000)])
            visitor.send(body_of(1000))
            wait_for(lambda: self.origin.saw("/hash?gone"), 5, "the request at the origin")
            visitor.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            visitor.close()
        time.sleep(0.5)
        self.assertFalse(any(request.ended for request in self.origin.saw("/hash?gone")), "an upload that never ended looked whole")
        self.assertEqual(fetch(self.relay.port, self.host(client), "/bytes/1").status, 200)

    def test_two_thousand_connects_then_silence(self):
        client = self.client()
        silent = []
        try:
            for _ in range(2000):
                silent.append(connect(self.relay.port))
            self.assertEqual(fetch(self.relay.port, self.host(client), "/bytes/1").status, 200)
            self.assertLess(proportional_bytes([self.relay.pid]), 64 * MIB)
        finally:
            for connection in silent:
                connection.close()

    def test_a_relay_with_few_descriptors_stays_alive(self):
        relay = self.own(Relay(prefix=("prlimit", "--nofile=64:64")), "stop")
        client = self.own(Client("http", self.origin.port, server=relay.url, token=relay.account()), "stop")
        crowd = []
        for _ in range(200):
            try:
                crowd.append(connect(relay.port, seconds=2))
            except OSError:
                break
        ticks = self.processor_time(relay.pid)
        time.sleep(1)
        self.assertLess(self.processor_time(relay.pid) - ticks, 0.5, "it spins on a listener that it cannot serve")
        for connection in crowd:
            connection.close()
        wait_for(lambda: self.status(relay, client) == 200, 5, "service after the crowd went")

    def processor_time(self, pid) -> float:
        from harness.processes import cpu_seconds

        return cpu_seconds([pid])

    def status(self, relay, client) -> int:
        try:
            return fetch(relay.port, client.host, "/bytes/1", seconds=2).status
        except (OSError, Closed):
            return 0
