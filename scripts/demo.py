#!/usr/bin/env python3
"""The demo: a relay, a tunnel, and what they survive. Every line of the transcript is a check.

Starts everything on free loopback ports in a folder of its own, and leaves nothing behind. Exit 0, or 1 with what was
expected and what came. `--transcript` also shows the commands as a user would type them.
"""

import argparse
import hashlib
import json
import os
import pathlib
import resource
import signal
import sys
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "Tests" / "EndToEnd"))

from harness import websocket  # noqa: E402
from harness.causeway import Client, Relay, connect, program  # noqa: E402
from harness.http import Visitor, fetch  # noqa: E402
from harness.origin import Origin, TCPService, hash_of, pages_of  # noqa: E402
from harness.proxy import Proxy  # noqa: E402

MIB = 1 << 20
STEP_SECONDS = 30  # no single check may take longer
COLOR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


class Mismatch(Exception):
    """A check that failed: what was expected, and what came."""

    def __init__(self, expected, got):
        super().__init__(f"expected {expected}, got {got}")
        self.expected, self.got = expected, got


def expect(expected, got):
    if expected != got:
        raise Mismatch(repr(expected), repr(got))


def at_most(limit: float, got: float, unit: str):
    if not got <= limit:
        raise Mismatch(f"at most {limit} {unit}", f"{got:.3f} {unit}")


def paint(code: str, text: str) -> str:
    return f"\033[{code}m{text}\033[0m" if COLOR else text


class Demo:
    TITLE = "causeway: a public URL for what runs on this machine"

    def __init__(self, show_commands: bool):
        self.show_commands = show_commands
        self.failed = 0
        self.cleanups = []
        self.started = time.monotonic()

    def owns(self, thing, method: str):
        self.cleanups.append(getattr(thing, method))
        return thing

    def command(self, text: str):
        if self.show_commands:
            print(paint("2", f"    $ {text}"))

    def check(self, title: str, work) -> bool:
        """One line of the transcript. `work` returns the words that stand behind the title."""
        before = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, STEP_SECONDS)
        try:
            words = work()
        except Mismatch as error:
            return self.fail(title, error.expected, error.got)
        except Exception as error:  # whatever goes wrong inside a check is that check's failure
            return self.fail(title, "no error", f"{type(error).__name__}: {error}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        took = time.monotonic() - before
        print(f"  {paint('32', 'ok  ')} {title:<34} {words}  {paint('2', f'({took:.1f} s)')}", flush=True)
        return True

    def fail(self, title, expected, got) -> bool:
        self.failed += 1
        print(f"  {paint('31', 'FAIL')} {title}\n         expected: {expected}\n         got:      {got}", flush=True)
        return False

    def clean(self):
        for cleanup in reversed(self.cleanups):
            try:
                cleanup()
            except Exception as error:  # the next one still has to be cleaned up
                self.fail("clean up", "no error", f"{type(error).__name__}: {error}")

    # the steps, in the order of the transcript

    def relay_up(self):
        self.command("causeway relay --listen 127.0.0.1:0")
        self.relay = self.owns(Relay(), "stop")
        return self.relay.url

    def account(self):
        self.command("causeway relay account add demo@example.org")
        self.token = self.relay.account("demo@example.org")
        expect((1, True), (len(self.token.split()), len(self.token) >= 16))
        return "its token stands on standard output, alone"

    def tunnel(self):
        self.origin = self.owns(Origin(), "close")
        self.link = self.owns(Proxy(self.relay.port), "close")  # the wire between client and relay, with a knife at it
        self.command(f"causeway http {self.origin.port} --server http://127.0.0.1:{self.link.port}")
        self.client = self.owns(Client("http", self.origin.port, server=f"http://127.0.0.1:{self.link.port}", token=self.token), "stop")
        self.url, self.host = self.client.url, f"{self.client.host}:{self.client.port}"
        expect(True, self.client.host.endswith(".localhost"))
        expect(self.relay.port, self.client.port)
        return self.url

    def visit(self, target: str, **options):
        return fetch(self.relay.port, self.host, target, **options)

    def page(self):
        answer = self.visit("/")
        expect((200, True, True), (answer.status, b"Hello from the origin." in answer.body, answer.complete))
        return f"200, {len(answer.body)} bytes"

    def upload(self):
        size = 100 * MIB
        with Visitor(self.relay.port, self.host, seconds=30) as visitor:
            visitor.request("POST", "/hash", [("Content-Length", size), ("Connection", "close")])
            for piece in pages_of(size):
                visitor.send(piece)
            answer = visitor.response()
        expect((200, size, hash_of(size)), (answer.status, answer.json()["bytes"], answer.json()["sha256"]))
        return f"100 MiB, SHA-256 {answer.json()['sha256'][:16]}…"

    def events(self):
        count, late = 5, []
        with Visitor(self.relay.port, self.host) as visitor:
            visitor.request("GET", f"/sse/{count}?every=150")
            expect((200, "text/event-stream"), ((answer := visitor.head()).status, answer.value("content-type")))
            text = b""
            while len(late) < count:
                while b"\n\n" not in text:
                    size = visitor.line()
                    if not size:
                        raise Mismatch(f"{count} events", f"an end after {len(late)}")
                    text += visitor.exactly(int(size, 16))
                    visitor.line()
                arrived = time.monotonic()
                event, _, text = text.partition(b"\n\n")
                sent = float(event.split(b"data: ")[1])
                late.append((arrived - sent) * 1000)
        at_most(50, max(late), "ms after it was sent")
        return f"{count} events, the latest {max(late):.1f} ms after it was sent"

    def web_socket(self):
        with connect(self.relay.port) as connection:
            socket = websocket.WebSocket(connection, self.host)
            for size in (5, 1000, 70_000):
                payload = os.urandom(size)
                socket.send(payload)
                expect((websocket.BINARY, payload), socket.receive())
            socket.send("grüße".encode(), websocket.TEXT)
            expect((websocket.TEXT, "grüße".encode()), socket.receive())
            socket.send(b"\x03\xe8", websocket.CLOSE)
            expect((websocket.CLOSE, b"\x03\xe8"), socket.receive())
        return "4 messages of 5 to 70,000 bytes back, closed with 1000"

    def tcp(self):
        service = self.owns(TCPService("echo"), "close")
        self.command(f"causeway tcp {service.port}")
        client = self.owns(Client("tcp", service.port, server=self.relay.url, token=self.token), "stop")
        expect("tcp://", client.url[:6])
        payload, answer = os.urandom(MIB), b""
        with connect(client.port) as connection:
            sender = threading.Thread(target=connection.sendall, args=(payload,))
            sender.start()
            while len(answer) < len(payload) and (more := connection.recv(65536)):
                answer += more
            sender.join()
        expect(hashlib.sha256(payload).hexdigest(), hashlib.sha256(answer).hexdigest())
        return f"{client.url}, 1 MiB there and back"

    def cut_download(self):
        size, cuts = 64 * MIB, 0
        digest, count = hashlib.sha256(), 0
        with Visitor(self.relay.port, self.host, seconds=20) as visitor:
            visitor.request("GET", f"/bytes/{size}", [("Connection", "close")])
            answer = visitor.head()
            expect((200, str(size)), (answer.status, answer.value("content-length")))
            while piece := visitor.exactly(min(MIB, size - count)):
                digest.update(piece)
                count += len(piece)
                if count >= size // 3 and cuts == 0:
                    cuts = self.link.cut()
        expect(True, cuts > 0)
        expect((size, hash_of(size)), (count, digest.hexdigest()))
        return f"64 MiB, cut by RST at a third, SHA-256 {digest.hexdigest()[:16]}…"

    def relay_killed(self):
        self.command("kill -9 RELAY; causeway relay …")
        self.relay.process.signal(signal.SIGKILL)
        self.relay.process.wait()
        expect(-signal.SIGKILL, self.relay.process.child.returncode)
        seen = len(self.client.process.lines)
        old_port = self.relay.port
        time.sleep(1)
        self.relay.restart()
        back = time.monotonic()
        expect(old_port, self.relay.port)
        while True:
            try:
                answer = self.visit("/")
                if answer.status == 200:
                    break
                got = f"status {answer.status}"
            except Exception as error:  # refused or cut while it comes back
                got = f"{type(error).__name__}: {error}"
            if time.monotonic() - back > 10:
                raise Mismatch("the page within 10 s of the relay's return", got)
            time.sleep(0.02)
        took = time.monotonic() - back
        for line in self.client.process.lines[seen:]:
            expect(False, json.loads(line).get("event") == "url_changed")
        at_most(1.5, took, "s until the old URL answers again")
        return f"{self.url} answers again {took:.2f} s after the relay's return"

    def ends(self):
        self.command("Ctrl-C")
        self.client.process.signal(signal.SIGINT)
        expect(0, self.client.process.wait(5))
        self.relay.process.signal(signal.SIGTERM)
        expect(0, self.relay.process.wait(10))
        return "client and relay ended with 0"

    STEPS = [
        ("a relay with its own database", "relay_up", True),
        ("an account", "account", True),
        ("a tunnel", "tunnel", True),
        ("a page", "page", False),
        ("an upload", "upload", False),
        ("server-sent events", "events", False),
        ("a WebSocket", "web_socket", False),
        ("plain TCP", "tcp", False),
        ("a download through a cut", "cut_download", False),
        ("the relay killed with SIGKILL", "relay_killed", False),
        ("Ctrl-C", "ends", False),
    ]

    def run(self) -> int:
        print(paint("1", self.TITLE) + "\n", flush=True)
        try:
            for title, step, needed in self.STEPS:
                if not self.check(title, getattr(self, step)) and needed:
                    break
        finally:
            self.clean()
        took = time.monotonic() - self.started
        if self.failed:
            print(f"\n{self.failed} of the lines above failed; nothing is left running.")
            return 1
        print(f"\nAll of it worked, in {took:.0f} s; nothing is left running.")
        return 0


def perform(kind: type[Demo], summary: str, reason=None) -> int:
    """Runs a demo from the command line. `reason()` says what it lacks here, or None."""
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--transcript", action="store_true", help="show the commands too")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))

    def interrupted(number, _):
        raise SystemExit(128 + number)

    def late(number, _):
        raise Mismatch(f"an end within {STEP_SECONDS} s", "none")

    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGALRM, late)
    try:
        program()
    except FileNotFoundError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    if lacking := reason() if reason else None:
        print(f"demo: {lacking}", file=sys.stderr)
        return 1
    try:
        return kind(options.transcript).run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(perform(Demo, __doc__.splitlines()[0]))
