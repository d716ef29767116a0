"""Running a relay: what it shows while it works, and how it ends (docs/relay.md)."""

import hashlib
import os
import re
import signal
import socket
import threading
import time

from harness.cases import Case, StandCase
from harness.causeway import Client, Relay, connect
from harness.http import Visitor, fetch, raw
from harness.origin import Origin, hash_of
from harness.processes import wait_for

MIB = 1 << 20
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})(\{{(?:[a-z_]+="[^"\\\n]*",?)*\}})? (-?[0-9.eE+-]+|NaN|\+Inf)')


def samples(text: str) -> dict[str, float]:
    """Prometheus' text format 0.0.4, read strictly: HELP and TYPE once before each family, no sample twice."""
    found, family, kinds = {}, None, {}
    assert text.endswith("\n"), "no line end at the end"
    for line in text[:-1].split("\n"):
        if match := re.fullmatch(rf"# HELP ({NAME}) (.+)", line):
            family = match[1]
            assert family not in kinds, f"twice: {family}"
            kinds[family] = None
        elif match := re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge|histogram)", line):
            assert match[1] == family and kinds[family] is None, line
            kinds[family] = match[2]
        else:
            match = SAMPLE.fullmatch(line)
            assert match and match[1] == family and kinds[family], f"no sample of {family}: {line!r}"
            assert kinds[family] != "counter" or family.endswith("_total"), family
            key = match[1] + (match[2] or "")
            assert key not in found, f"twice: {key}"
            found[key] = float(match[3])
    return found


class Metrics(StandCase):
    relay_options = ("--metrics", "127.0.0.1:0")

    @classmethod
    def prepare(cls):
        super().prepare()
        line = cls.relay.process.find(lambda line: re.search(r"http://127\.0\.0\.1:(\d+)/metrics", line), errors=True)
        cls.metrics_port = int(re.search(r":(\d+)/metrics", line if isinstance(line, str) else line[1])[1])

    def scrape(self) -> dict[str, float]:
        answer = fetch(self.metrics_port, "127.0.0.1", "/metrics")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.value("content-type"), "text/plain; version=0.0.4; charset=utf-8")
        return samples(answer.body.decode())

    def test_every_name_is_documented(self):
        path = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "relay.md")
        with open(path, encoding="utf-8") as file:
            named = set(re.findall(r"`((?:causeway|process)_[a-z_]+)`", file.read()))
        shown = {re.sub(r"\{.*", "", key) for key in self.scrape()}
        self.assertEqual(shown - named, set(), "not in docs/relay.md")
        self.assertEqual(named - shown, set(), "in docs/relay.md only")

    def test_bytes_count_while_their_connections_are_open(self):
        count = 64 * MIB
        out = 'causeway_relay_visitor_bytes_total{direction="out"}'
        received = 'causeway_relay_lane_bytes_total{direction="received"}'
        before = self.scrape()
        visitor = self.visitor()
        visitor.request("GET", f"/bytes/{count}")
        answer = visitor.head()
        self.assertEqual(answer.status, 200)
        digest = hashlib.sha256()
        digest.update(visitor.exactly(8 * MIB))
        during = self.scrape()
        for key in (out, received):
            self.assertGreater(during[key] - before[key], 7 * MIB, key)
            self.assertLess(during[key] - before[key], count, key)
        self.assertEqual(during["causeway_relay_streams"], 1)
        self.assertEqual(during["causeway_relay_lanes"], 1)
        self.assertEqual(during["causeway_relay_sessions_detached"], 0)
        self.assertEqual(during["causeway_relay_tunnels"], 1)
        self.assertGreater(during['causeway_relay_round_trip_seconds{quantile="1"}'], 0)
        self.assertGreater(during["process_resident_memory_bytes"], MIB)
        self.assertGreater(during["process_open_fds"], 5)
        self.assertLess(abs(during["process_start_time_seconds"] - time.time()), 3600)
        for _ in range(count // MIB - 8):
            digest.update(visitor.exactly(MIB))
        self.assertEqual(digest.hexdigest(), hash_of(count))
        after = self.scrape()
        self.assertGreaterEqual(after[out] - before[out], count)
        for key in before:
            if re.match(rf"{NAME}_total", key):
                self.assertGreaterEqual(after[key], before[key], key)


class Ending(Case):
    def setUp(self):
        self.relay = self.own(Relay(), "stop")
        self.token = self.relay.account()
        self.origin = self.own(Origin(), "close")
        self.client = self.own(Client("http", self.origin.port, server=self.relay.url, token=self.token), "stop")
        self.host = f"{self.client.host}:{self.client.port}"

    def test_a_running_request_may_finish_and_the_name_comes_back(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                visitor = self.own(Visitor(self.relay.port, self.host), "close")
                idle = self.own(Visitor(self.relay.port, self.host), "close")
                idle.request("GET", "/bytes/1")
                self.assertEqual(idle.response().status, 200)
                visitor.request("GET", "/slow/100?every=10")
                answer = visitor.head()
                self.assertEqual(answer.status, 200)
                self.relay.process.signal(number)
                self.assertTrue(idle.at_end(2), "an idle connection stays open")
                with self.assertRaises(OSError):
                    connect(self.relay.port, seconds=2).close()
                self.assertEqual(len(visitor.exactly(100)), 100)
                self.assertEqual(self.relay.process.wait(3), 0)
                self.client.process.event("reconnecting", 5)
                started = time.monotonic()
                self.relay.restart()
                wait_for(lambda: fetch(self.relay.port, self.host, "/bytes/1").status == 200, 5, "the tunnel under its old name")
                self.assertLess(time.monotonic() - started, 2)
                self.assertTrue(self.client.process.running)

    def test_an_endless_request_ends_after_5_seconds_or_a_second_signal(self):
        for again in (False, True):
            with self.subTest(again=again):
                visitor = self.own(Visitor(self.relay.port, self.host), "close")
                visitor.request("GET", "/slow/100000?every=20")
                self.assertEqual(visitor.head().status, 200)
                started = time.monotonic()
                self.relay.process.signal(signal.SIGTERM)
                time.sleep(0.3)
                self.assertTrue(self.relay.process.running)
                if again:
                    self.relay.process.signal(signal.SIGTERM)
                self.assertEqual(self.relay.process.wait(8), 0)
                took = time.monotonic() - started
                self.assertTrue(took < 1.5 if again else 4.5 < took < 7, took)
                self.relay.restart()
                wait_for(lambda: fetch(self.relay.port, self.host, "/bytes/1").status == 200, 5, "the tunnel under its old name")


class LostTunnels(Case):
    def test_a_released_name_is_told_and_the_other_tunnels_go_on(self):
        relay = self.own(Relay(), "stop")
        token = relay.account()
        origin = self.own(Origin(), "close")
        folder = relay.scratch / "causeway.yml"
        folder.write_text(
            "tunnels:\n" + "".join(f"- {{name: {n}, protocol: http, local_port: {origin.port}, subdomain: {n}}}\n" for n in ("one", "two"))
        )
        client = self.own(Client("start", folder, server=relay.url, token=token), "stop")
        self.assertEqual(relay.admin("name", "release", "one")[0], 0)
        lost = client.process.event("tunnel_lost", 5)
        self.assertEqual(lost["tunnel"], "one")
        self.assertEqual(fetch(relay.port, f"two.localhost:{relay.port}", "/bytes/1").status, 200)
        self.assertEqual(fetch(relay.port, f"one.localhost:{relay.port}", "/bytes/1").status, 404)
        self.assertEqual(relay.admin("name", "release", "two")[0], 0)
        self.assertEqual(client.process.wait(5), 69)
