"""Who has a name at this moment, and what visitors hear while nobody serves it."""

import threading
import time

from harness.cases import Case, LinkedCase
from harness.causeway import Client, Relay
from harness.http import Closed, fetch
from harness.origin import Origin
from harness.processes import wait_for


class Holders(LinkedCase):
    def test_a_living_holder_keeps_its_name_and_serves_all_the_while(self):
        first = self.client("http", self.origin.port, "--subdomain", "alive")
        statuses, over = [], threading.Event()

        def visit():
            while not over.is_set():
                try:
                    statuses.append(fetch(self.relay.port, self.host(first), "/bytes/1", seconds=2).status)
                except (OSError, Closed) as error:
                    statuses.append(repr(error))

        visitor = threading.Thread(target=visit)
        visitor.start()
        for _ in range(3):
            started = time.monotonic()
            second = self.client("http", self.origin.port, "--subdomain", "alive", ready=False)
            code = second.process.wait(10)
            self.assertEqual(code, 69, second.process.story())
            self.assertLess(time.monotonic() - started, 3)
            self.assertIn("alive", second.process.errors[-1] + "".join(second.process.lines))
        over.set()
        visitor.join()
        self.assertEqual(set(statuses), {200})
        self.assertGreater(len(statuses), 20)
        self.assertEqual([line for line in first.process.lines if "reconnecting" in line or "url_changed" in line], [])

    def test_two_at_once_settle_at_once(self):
        both = [self.client("http", self.origin.port, "--subdomain", "twins", ready=False) for _ in range(2)]
        wait_for(lambda: sum(not client.process.running for client in both) == 1, 5, "one of them to be refused")
        time.sleep(1)
        self.assertEqual([client.process.running for client in both].count(True), 1)
        (winner,) = [client for client in both if client.process.running]
        winner.wait_ready()
        self.assertEqual(fetch(self.relay.port, self.host(winner), "/bytes/1").status, 200)

    def test_a_killed_clients_successor_is_there_within_a_second(self):
        client = self.client("http", self.origin.port, "--subdomain", "heir")
        for _ in range(5):
            client.process.kill()
            started = time.monotonic()
            client = self.client("http", self.origin.port, "--subdomain", "heir")
            self.assertEqual(fetch(self.relay.port, self.host(client), "/bytes/1").status, 200)
            self.assertLess(time.monotonic() - started, 1)

    def test_a_silent_holder_is_probed_for_two_seconds(self):
        first = self.client("http", self.origin.port, "--subdomain", "silent")
        self.link.freeze()
        started = time.monotonic()
        words = ("http", self.origin.port, "--subdomain", "silent")
        second = self.own(Client(*words, server=self.relay.url, token=self.token), "stop")
        self.assertTrue(1.9 < time.monotonic() - started < 3, time.monotonic() - started)
        self.assertEqual(second.url, first.url.replace(str(self.link.port), str(self.relay.port)))
        self.link.thaw()
        self.assertEqual(first.process.wait(10), 69, "the one who lost the name goes, or both would fight for it")
        self.assertEqual(fetch(self.relay.port, self.host(second), "/bytes/1").status, 200)


class Waiting(Case):
    """What a visitor hears of a name that nobody serves: the truth, at the right moment."""

    patient = True

    def setUp(self):
        self.relay = self.own(Relay(), "stop")
        self.token = self.relay.account()
        self.origin = self.own(Origin(), "close")

    def client(self, name) -> Client:
        return self.own(Client("http", self.origin.port, "--subdomain", name, server=self.relay.url, token=self.token), "stop")

    def ask(self, name) -> tuple[int, float, str | None]:
        started = time.monotonic()
        answer = fetch(self.relay.port, f"{name}.localhost", "/bytes/1", seconds=10)
        return answer.status, time.monotonic() - started, answer.value("retry-after")

    def test_a_name_in_every_state(self):
        for name in ("gone", "back"):
            self.client(name).process.stop()
        self.relay.process.kill()
        self.relay.restart()
        born = time.monotonic()

        def known():
            status, took, retry = self.ask("gone")
            self.assertEqual((status, bool(retry and retry.isdigit())), (503, True))
            self.assertTrue(4.9 < took < 6, took)

        def comes_back():
            timer = threading.Timer(2, lambda: self.client("back"))
            timer.start()
            status, took, _ = self.ask("back")
            self.assertEqual(status, 200)
            self.assertTrue(1.5 < took < 4, took)

        def unknown():
            status, took, _ = self.ask("never-heard-of")
            self.assertEqual(status, 404)
            self.assertLess(took, 1)

        self.side_by_side({"known": known, "comes back": comes_back, "unknown": unknown})
        time.sleep(max(0, born + 30.5 - time.monotonic()))
        status, took, _ = self.ask("gone")
        self.assertEqual(status, 502)
        self.assertLess(took, 1)
        # A session that said goodbye is no session at all; one that was killed is waited for.
        client = self.client("goodbye")
        client.process.stop()
        status, took, _ = self.ask("goodbye")
        self.assertEqual(status, 502)
        self.assertLess(took, 1)
        client = self.client("killed")
        client.process.kill()
        status, took, retry = self.ask("killed")
        self.assertEqual((status, bool(retry)), (503, True))
        self.assertTrue(4.9 < took < 6, took)
