"""The client's network changes under it: an address that goes, a link that goes and comes, packets that vanish."""

import hashlib
import subprocess
import threading
import time

from harness.cases import Case
from harness.causeway import Client, Relay
from harness.http import Visitor
from harness.origin import hash_of
from harness.peers import Namespace
from harness.processes import REPOSITORY, Process, tool, wait_for

MIB = 1 << 20
ORIGIN = "import sys, time; sys.path.insert(0, sys.argv[1]); from harness.origin import Origin; print(Origin().port, flush=True); time.sleep(600)"


class Networks(Case):
    needs = ("causeway", "root", "ip")

    def setUp(self):
        self.namespace = self.own(Namespace(), "remove")
        self.relay = self.own(Relay(listen=(f"{self.namespace.outside}:0",)), "stop")
        folder = REPOSITORY / "Tests" / "EndToEnd"
        origin = self.own(Process(["python3", "-c", ORIGIN, folder], prefix=self.namespace.prefix), "kill")
        server = f"http://{self.namespace.outside}:{self.relay.port}"
        words = ("http", int(origin.line()), "--subdomain", "mobile")
        self.client = self.own(Client(*words, server=server, token=self.relay.account(), prefix=self.namespace.prefix), "stop")

    def inside(self, words: str):
        subprocess.run([*self.namespace.prefix, tool("ip"), *words.split()], check=True, capture_output=True)

    @property
    def link(self) -> str:
        return self.namespace.name + "i"

    def download(self, size: int, change) -> float:
        """A download during which `change()` happens; it must end byte-exact. Returns how long it stood still at most, from the change on."""
        digest, count, longest = hashlib.sha256(), 0, 0.0
        with Visitor(self.relay.port, self.client.host, address=self.namespace.outside, seconds=25) as visitor:
            visitor.request("GET", f"/bytes/{size}")
            self.assertEqual(visitor.head().status, 200)
            changer = None
            while count < size:
                before = time.monotonic()
                piece = visitor.exactly(min(64 * 1024, size - count))
                if changer:
                    longest = max(longest, time.monotonic() - before)
                if not piece:
                    break
                digest.update(piece)
                count += len(piece)
                if changer is None and count >= size // 4:
                    changer = threading.Thread(target=change)
                    changer.start()
                    time.sleep(0.1)
        changer.join()
        self.assertEqual((count, digest.hexdigest()), (size, hash_of(size)), self.client.process.story())
        return longest

    def test_the_address_changes(self):
        """The old one is gone, and no packet tells anybody: only the kernel's word that something changed."""
        network, _, last = self.namespace.inside.rpartition(".")
        new = f"{network}.{int(last) + 4}"
        self.namespace.ip("route", "add", f"{new}/32", "dev", self.namespace.name + "o")

        def change():
            self.inside(f"addr del {self.namespace.inside}/30 dev {self.link}")
            self.inside(f"addr add {new}/28 dev {self.link}")

        still = self.download(256 * MIB, change)
        self.client.process.event("resumed", 5)
        self.assertLess(still, 4, "a probe of 2 s, then at once")

    def test_the_link_goes_down_and_up(self):
        back = []

        def change():
            self.inside(f"link set {self.link} down")
            time.sleep(4)
            self.inside(f"link set {self.link} up")
            back.append(time.monotonic())

        self.download(256 * MIB, change)
        self.client.process.event("resumed", 5)
        resumed = wait_for(lambda: [l for l in self.client.process.lines if '"resumed"' in l], 5, "the resume")
        self.assertEqual(len(resumed), 1)

    def test_a_short_outage_costs_nothing_but_itself(self):
        def change():
            self.inside(f"link set {self.link} down")
            time.sleep(0.5)
            self.inside(f"link set {self.link} up")

        self.assertLess(self.download(256 * MIB, change), 4)

    def test_an_attempt_from_an_address_that_is_gone_is_given_up(self):
        """The relay's side goes away without a word; while an attempt waits for it, the client's address changes."""
        network, _, last = self.namespace.inside.rpartition(".")
        new, outside = f"{network}.{int(last) + 4}", self.namespace.name + "o"

        def change():
            self.namespace.ip("link", "set", outside, "down")
            time.sleep(4)  # the probe has failed after 2 s; an attempt is under way and would wait for 10 s
            self.inside(f"addr del {self.namespace.inside}/30 dev {self.link}")
            self.inside(f"addr add {new}/28 dev {self.link}")
            self.namespace.ip("link", "set", outside, "up")
            self.namespace.ip("route", "add", f"{new}/32", "dev", outside)

        self.assertLess(self.download(128 * MIB, change), 4 + 4.5)
