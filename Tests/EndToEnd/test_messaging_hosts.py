"""Messages between two hosts: namespaces with a network between them, over IPv4 and IPv6, on a long line that loses packets, and when the
line dies."""

import json
import time

from harness.cases import Case
from harness.netns import Link, Network
from harness.processes import binary, tool

# UCX looks for devices in /sys, which shows those of the namespace that mounted it. In a chroot the root is no mount whose propagation
# could be changed: then whoever made the chroot has seen to it.
OWN_SYS = 'mount --make-rprivate / 2>/dev/null; mount -t sysfs sysfs /sys && exec "$@"'


def command(*words) -> list:
    own = [tool("unshare"), "--mount", "--propagation", "unchanged", "sh", "-c", OWN_SYS, "sh"]
    return [*own, binary(), "bench", "messaging", "--tls", "tcp", *words]


class TwoHosts(Case):
    needs = ("causeway", "emulator")

    def serve(self, network: Network, address: str) -> str:
        """Starts to listen there, and returns where."""
        self.server = self.own(network.server.start(command("--listen", address)), "kill")
        return self.server.line()

    def measure(self, network: Network, address: str, *words) -> list[dict]:
        done = network.client.run(command("--json", "--peer", address, *words), seconds=60)
        self.assertEqual(done.stderr, "")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_every_scenario_over_ipv4_and_ipv6(self):
        network = self.own(Network([Link()]), "close")
        for address in ("10.77.0.2:0", "[fd77:0::2]:0"):
            with self.subTest(address):
                results = self.measure(network, self.serve(network, address), "--iterations", "3", "--warmup", "1", "--size", "100000")
                self.assertEqual(len(results), 4)
                for result in results:
                    self.assertIn("tcp/", result["route"]["lanes"])

    def test_a_long_line_that_loses_packets_delivers_all_the_same(self):
        network = self.own(Network([Link(both={"rate": 50e6, "delay": 15, "queue": 256 * 1024, "loss": 0.01})]), "close")
        address = self.serve(network, "10.77.0.2:0")
        (trip,) = self.measure(network, address, "--scenario", "pingpong-flag", "--iterations", "20", "--warmup", "1")
        self.assertGreaterEqual(trip["median_ns"], 30e6)
        (bulk,) = self.measure(network, address, "--scenario", "large-array", "--iterations", "2", "--warmup", "1", "--size", str(4 << 20))
        self.assertEqual(bulk["route"]["class"], "rendezvous")

    def test_a_host_that_is_gone_is_noticed(self):
        network = self.own(Network([Link(both={"delay": 1})]), "close")
        words = ["--scenario", "pingpong-flag", "--iterations", "100000000"]
        bench = self.own(network.client.start(command("--peer", self.serve(network, "10.77.0.2:0"), *words)), "kill")
        bench.line()
        network.emulator.set(loss=1)
        began = time.monotonic()
        self.assertEqual(bench.wait(20), 75, bench.story())
        # Engine.Options.hostTimeout, 5 s, and the rounding of its probes to seconds.
        self.assertGreater(time.monotonic() - began, 2)
        self.assertLess(time.monotonic() - began, 9)
        self.assertRegex("\n".join(bench.errors), "peer lost")
