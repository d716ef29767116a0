"""What test cases stand on: ownership of processes, reasons to skip, and the usual stand of relay, client and origin."""

import os
import threading
import traceback
import unittest

from .causeway import Client, Relay
from .http import Response, Visitor, fetch
from .netns import missing_for_networks
from .origin import Origin
from .processes import binary, tool
from .proxy import Proxy


class Case(unittest.TestCase):
    """`needs` names what must be there: `causeway`, `root`, `network` (namespaces, TUN), `emulator` (the same and the link emulator), or
    programs. A missing one skips and says so; with CI=true the runner counts that as a failure. `exclusive` cases run alone, because they
    measure time or memory. `patient` ones mostly wait for limits to pass: they run beside all others."""

    needs: tuple[str, ...] = ("causeway",)
    exclusive = False
    patient = False
    longMessage = True
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        for need in cls.needs:
            reason = missing(need)
            if reason:
                raise unittest.SkipTest(reason)
        cls.prepare()

    @classmethod
    def prepare(cls):
        """What a class sets up once, after its needs are met."""

    @classmethod
    def keep(cls, thing, method: str):
        """`thing.method()` runs when the class is done."""
        cls.addClassCleanup(getattr(thing, method))
        return thing

    def own(self, thing, method: str):
        """`thing.method()` runs when the test is done."""
        self.addCleanup(getattr(thing, method))
        return thing

    def side_by_side(self, rows: dict):
        """Runs every `rows[name]()` in a thread of its own; each that fails fails the test with its name."""
        failures: dict[str, str] = {}

        def run(name, row):
            try:
                row()
            except BaseException:
                failures[name] = traceback.format_exc()

        threads = [threading.Thread(target=run, args=item) for item in rows.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name, story in failures.items():
            with self.subTest(name):
                self.fail(story)


def missing(need: str) -> str | None:
    if need == "causeway":
        return None if binary() else "no causeway binary: run 'make build', or set CAUSEWAY_BIN"
    if need == "root":
        return None if os.getuid() == 0 else "needs root for network namespaces"
    if need in ("network", "emulator"):
        return missing_for_networks(need == "emulator")
    return None if tool(need) else f"{need} is not installed: run 'make setup'"


class StandCase(Case):
    """One relay, one origin, one client `http` between them, for all tests of the class."""

    relay_options: tuple = ()
    client_options: tuple = ()

    @classmethod
    def prepare(cls):
        cls.relay = cls.keep(Relay(*cls.relay_options), "stop")
        cls.token = cls.relay.account()
        cls.origin = cls.keep(Origin(), "close")
        cls.client = cls.keep(Client("http", cls.origin.port, *cls.client_options, server=cls.relay.url, token=cls.token), "stop")
        cls.port = cls.relay.port
        cls.host = f"{cls.client.host}:{cls.client.port}"

    def visitor(self, **options) -> Visitor:
        return self.own(Visitor(self.port, self.host, **options), "close")

    def fetch(self, target: str = "/", **options) -> Response:
        return fetch(self.port, self.host, target, **options)

    def another(self, *words, **options) -> Client:
        """A further client of the same account, for this test."""
        return self.own(Client(*words, server=self.relay.url, token=self.token, **options), "stop")


class LinkedCase(Case):
    """Like StandCase, for one test each, with a `Proxy` between client and relay: `self.link`."""

    relay_options: tuple = ()

    def setUp(self):
        self.relay = self.own(Relay(*self.relay_options), "stop")
        self.token = self.relay.account()
        self.origin = self.own(Origin(), "close")
        self.link = self.own(Proxy(self.relay.port), "close")

    @property
    def server(self) -> str:
        return f"http://127.0.0.1:{self.link.port}"

    def client(self, *words, **options) -> Client:
        return self.own(Client(*(words or ("http", self.origin.port)), server=self.server, token=self.token, **options), "stop")

    def host(self, client: Client) -> str:
        return f"{client.host}:{client.port}"
