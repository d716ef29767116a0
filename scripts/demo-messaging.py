#!/usr/bin/env python3
"""The demo of messages: two processes exchange 1 GiB in both directions at once, then one is killed under a transfer.

Every line of the transcript is a check; on a terminal a bar shows how far both ways are. Exit 0, or 1 with what was expected and what came.
`--transcript` also shows the commands.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "Tests" / "EndToEnd")]

from demo import Demo, Mismatch, at_most, expect, perform  # noqa: E402
from harness.causeway import program  # noqa: E402
from harness.processes import Process, run  # noqa: E402

GIB = 1 << 30
TOOL = pathlib.Path(os.environ.get("CAUSEWAY_MESSAGING_DEMO") or HERE.parent / "build" / "messaging-demo")


def facts(lines) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in lines if " " in line)


class MessagingDemo(Demo):
    TITLE = "causeway messages: both ways at once, and a peer that dies"

    def pair(self, size: int, visible: bool):
        """The listening process, and the connecting one, whose bar goes to this terminal."""
        self.command(f"messaging-demo listen {size} & messaging-demo connect {size} PORT")
        listener = self.owns(Process([TOOL, "listen", size]), "kill")
        port = listener.line()
        words = [str(TOOL), "connect", str(size), port]
        connector = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=None if visible else subprocess.DEVNULL, text=True)
        self.cleanups.append(connector.kill)
        return listener, connector

    def ucx(self):
        self.command("causeway messaging info")
        code, output, errors = run([program(), "messaging", "info", "--json"])
        expect((0, ""), (code, errors))
        info = json.loads(output)
        self.lanes = {transport["name"] for transport in info["this_host"]["transports"]}
        return f"{info['ucx']['version']} from {info['ucx']['path']}"

    def exchange(self):
        listener, connector = self.pair(GIB, visible=True)
        output, _ = connector.communicate()
        expect((0, 0), (connector.returncode, listener.wait(10)))
        self.here, self.there = facts(output.splitlines()), facts(listener.lines[1:])
        expect(self.lanes, {lane.split("/")[0] for lane in self.here["over"].split()})
        seconds = max(float(side["seconds"]) for side in (self.here, self.there))
        return f"2 GiB in {seconds:.2f} s over {self.here['over']}, {2 * GIB / seconds / 1e9:.1f} GB/s with hashing"

    def hashes(self):
        for sent, received in ((self.here, self.there), (self.there, self.here)):
            expect(sent["sent"], received["received"])
            expect(64, len(sent["sent"]))
        expect(False, self.here["sent"] == self.there["sent"])
        return f"{self.here['sent'][:16]}… and {self.there['sent'][:16]}…"

    def killed(self):
        listener, connector = self.pair(256 * GIB, visible=False)
        time.sleep(1)
        if connector.poll() is not None or not listener.running:
            raise Mismatch("a transfer under way", listener.story())
        listener.kill()
        before = time.monotonic()
        output, _ = connector.communicate(timeout=10)
        took = time.monotonic() - before
        expect(1, connector.returncode)
        line = output.strip().splitlines()[-1]
        if not re.fullmatch(r"lost .*: peer lost: .*", line):
            raise Mismatch("lost …: peer lost: …", line)
        at_most(1, took, "s until the other side knew")
        return f"after {took * 1000:.0f} ms: {line.removeprefix('lost ')}"

    STEPS = [
        ("OpenUCX", "ucx", True),
        ("1 GiB each way, at once", "exchange", True),
        ("what came is what was sent", "hashes", False),
        ("one is killed under a transfer", "killed", False),
    ]


def missing() -> str | None:
    return None if os.access(TOOL, os.X_OK) else "no build/messaging-demo: run 'scripts/build-tools.sh messaging-demo'"


if __name__ == "__main__":
    sys.exit(perform(MessagingDemo, __doc__.splitlines()[0], missing))
