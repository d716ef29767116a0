#!/usr/bin/env python3
"""The demo of the bond: two shaped links become one, and one of them is pulled and put back under a download. Needs root.

Everything happens in network namespaces of its own, which go at the end. Every line of the transcript is a check. Exit 0, or 1 with what
was expected and what came. `--transcript` also shows the commands as a user would type them.
"""

import pathlib
import signal
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "Tests" / "EndToEnd")]

from demo import Demo, Mismatch, at_most, expect, paint, perform  # noqa: E402
from harness.bond import INNER, BondPair  # noqa: E402
from harness.netns import Network, missing_for_networks, shaped  # noqa: E402
from harness.processes import tool  # noqa: E402
from harness.traffic import Iperf, Pinger, iperf, ping  # noqa: E402

RATES = (50, 30)  # Mbit/s
DELAYS = (10, 20)  # ms, one way
LONG_SECONDS = 15
PULLED_AT, BACK_AT = 4, 9  # seconds into the long download
TABLE_SECONDS = 2.5


def at_least(limit: float, got: float, unit: str):
    if not got >= limit:
        raise Mismatch(f"at least {limit:.1f} {unit}", f"{got:.1f} {unit}")


class BondDemo(Demo):
    TITLE = "causeway bond: one encrypted link out of two"

    def links(self):
        self.command("ip netns add client; ip netns add server; …")
        self.network = self.owns(Network([shaped(rate, delay) for rate, delay in zip(RATES, DELAYS)], seed=1), "close")
        rtts = [ping(self.network.client, f"10.77.{i}.2", 10, wait=0.5).median() for i in range(2)]
        for rtt, delay in zip(rtts, DELAYS):
            at_least(2 * delay, rtt, "ms")
            at_most(2 * delay + 5, rtt, "ms")
        return "; ".join(f"{rate} Mbit/s with {rtt:.0f} ms" for rate, rtt in zip(RATES, rtts))

    def alone(self):
        self.single = [iperf(self.network.client, self.network.server, f"10.77.{i}.2", 3).mbit for i in range(2)]
        for mbit, rate in zip(self.single, RATES):
            at_least(0.8 * rate, mbit, "Mbit/s")
        return " and ".join(f"{mbit:.1f} Mbit/s" for mbit in self.single)

    def bond_up(self):
        self.command("causeway bond up server.conf; causeway bond up client.conf")
        self.pair = self.owns(BondPair(self.network), "stop")
        self.pair.wait_up()
        paths = self.pair.client.paths()
        expect({"p0", "p1"}, set(paths))
        return f"two paths validated, echo in {ping(self.network.client, INNER['server'], 10, wait=0.5).median():.0f} ms"

    def together(self):
        self.command(f"iperf3 -c {INNER['server']} -R")
        mbit = iperf(self.network.client, self.network.server, INNER["server"], 5).mbit
        at_least(0.85 * sum(self.single), mbit, "Mbit/s")
        at_least(max(self.single), mbit, "Mbit/s")
        return f"{mbit:.1f} Mbit/s, {mbit / sum(self.single) * 100:.0f} % of the links' {sum(self.single):.1f}"

    def tables(self, until: float):
        """What `causeway bond status` prints, now and then."""
        began = time.monotonic()
        while time.monotonic() < until:
            _, text, errors = self.pair.client.command("status", self.pair.client.name)
            head = f"    {time.monotonic() - began:4.1f} s  causeway bond status {self.pair.client.name}"
            with self.printing:
                print(paint("2", head))
                print("\n".join("│" + line for line in (text or errors).splitlines()), flush=True)
            time.sleep(max(0, min(TABLE_SECONDS, until - time.monotonic())))

    def note(self, text: str):
        with self.printing:
            print(paint("33", f"    {text}"), flush=True)

    def pulled(self):
        self.printing = threading.Lock()
        self.command("iperf3 …; ip link set p0 down; sleep 5; ip link set p0 up")
        load = self.owns(Iperf(self.network.client, self.network.server, INNER["server"], LONG_SECONDS, interval=0.5), "stop")
        pinger = self.owns(Pinger(self.network.client, INNER["server"], int(LONG_SECONDS * 50 - 50)), "stop")
        began = time.monotonic()
        watcher = threading.Thread(target=self.tables, args=(began + LONG_SECONDS - 1,))
        watcher.start()
        time.sleep(PULLED_AT)
        self.network.unplug(0)
        self.note(f"p0 is pulled after {time.monotonic() - began:.1f} s")
        time.sleep(began + BACK_AT - time.monotonic())
        self.network.plug(0)
        self.note(f"p0 is put back after {time.monotonic() - began:.1f} s")
        self.long, self.echoes = load.result(), pinger.result()
        watcher.join()
        mean = self.mean(PULLED_AT + 1.5, BACK_AT - 0.5)
        at_least(0.8 * self.single[1], mean, "Mbit/s on the other link")
        return f"the download went on with {mean:.1f} Mbit/s"

    def mean(self, start: float, end: float) -> float:
        rates = [rate / 1e6 for begin, stop, rate in self.long.intervals if begin >= start and stop <= end + 0.01]
        return sum(rates) / max(1, len(rates))

    def back(self):
        mean = self.mean(BACK_AT + 3, LONG_SECONDS)
        at_least(0.8 * sum(self.single), mean, "Mbit/s on both links")
        return f"{mean:.1f} Mbit/s again within 3 s of its return"

    def pings(self):
        gap = self.echoes.longest_gap()
        lost = len(self.echoes.sent) - self.echoes.replies
        at_most(0.5, gap, "s between two replies")
        at_most(10, lost, "echoes lost")
        return f"{lost} of {len(self.echoes.sent)} lost, the longest silence {gap * 1000:.0f} ms"

    def ends(self):
        self.command("Ctrl-C")
        for end in (self.pair.client, self.pair.server):
            end.process.signal(signal.SIGINT)
            expect(0, end.process.wait(5))
            left = end.host.run([tool("ip"), "-br", "link"]).stdout
            expect(False, end.name in left)
        return "both ended with 0; interfaces and routes are gone"

    STEPS = [
        ("two links between two namespaces", "links", True),
        ("a download over each alone", "alone", True),
        ("the bond over both", "bond_up", True),
        ("a download over the bond", "together", False),
        ("a link pulled under a download", "pulled", True),
        ("the link is back", "back", False),
        ("a ping all the while", "pings", False),
        ("Ctrl-C", "ends", False),
    ]


if __name__ == "__main__":
    sys.exit(perform(BondDemo, __doc__.splitlines()[0], lambda: missing_for_networks()))
