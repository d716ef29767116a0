"""What a packet costs beside its bytes: no allocation, no futex call; and order within each flow with two threads."""

import collections
import re
import subprocess
import time

from harness.bond import INNER, BondCase
from harness.netns import Link
from harness.processes import REPOSITORY, Scratch, tool, wait_for
from harness.traffic import iperf

PACKETS = 1_000_000
INNER_BYTES = 1348


class Costs(BondCase):
    exclusive = True
    needs = (*BondCase.needs, "strace")

    def carry(self, network, packets: int):
        """A download of at least so many packets; their number."""
        carried = 0
        while carried < packets:
            carried += iperf(network.client, network.server, INNER["server"], 5).byte_count // INNER_BYTES
            self.assertGreater(carried, packets // 20, "too slow to count anything")
        return carried

    def test_no_allocation_for_a_packet(self):
        folder = self.own(Scratch("causeway-allocations"), "remove")
        hook = str(folder / "alloccount.so")
        source = REPOSITORY / "Benchmarks" / "load" / "alloccount.c"
        subprocess.run([tool("cc") or tool("clang"), "-O2", "-shared", "-fPIC", "-o", hook, str(source), "-ldl"], check=True)
        counters = {side: folder / side for side in ("client", "server")}
        for path in counters.values():
            path.write_bytes(bytes(8))
            path.chmod(0o666)  # the packet process has given up root
        folder.path.chmod(0o755)
        environment = {side: {"LD_PRELOAD": hook, "ALLOCCOUNT": str(path)} for side, path in counters.items()}

        def counts():
            return {side: int.from_bytes(path.read_bytes(), "little") for side, path in counters.items()}

        network = self.network([Link(), Link()])
        self.pair(network, client_env=environment["client"], server_env=environment["server"])
        iperf(network.client, network.server, INNER["server"], 3)
        before = counts()
        self.assertGreater(min(before.values()), 0, "the hook counts nothing")
        carried = self.carry(network, PACKETS)
        for side, count in counts().items():
            print(f"{side}: {count - before[side]} allocations for {carried} packets")
            # What is left is the control thread's, by time and not by packets.
            self.assertLess((count - before[side]) / carried, 0.0005, side)

    def test_no_futex_call_in_packet_threads(self):
        folder = self.own(Scratch("causeway-futex"), "remove")
        folder.path.chmod(0o777)
        traces = {side: folder / side for side in ("client", "server")}
        wraps = {side: (tool("strace"), "-f", "--seccomp-bpf", "-e", "trace=futex", "-o", path) for side, path in traces.items()}
        network = self.network([Link(), Link()])
        self.pair(network, client_wrap=wraps["client"], server_wrap=wraps["server"])
        iperf(network.client, network.server, INNER["server"], 2)
        before = {side: len(path.read_text().splitlines()) for side, path in traces.items()}
        carried = iperf(network.client, network.server, INNER["server"], 5).byte_count // INNER_BYTES
        self.assertGreater(carried, 10_000, "too slow to count anything")
        for side, path in traces.items():
            calls = [line for line in path.read_text().splitlines()[before[side] :] if "futex(" in line]
            threads = collections.Counter(re.match(r"\d+", line)[0] for line in calls)
            print(f"{side}: {dict(threads)} futex calls for {carried} packets")
            self.assertLess(len(calls), 20, f"{side}: {calls[:10]}")


class Order(BondCase):
    exclusive = True

    def test_two_threads_keep_the_order_of_every_flow(self):
        network = self.network([Link(), Link()])
        pair = self.pair(network, both_options={"Threads": 2}, up=False)
        pair.wait_up(10, paths=2)
        for download in (True, False):
            result = iperf(network.client, network.server, INNER["server"], 5, 4, download=download, udp=60e6)
            for stream in result.report["end"]["streams"]:
                flow = stream["udp"]
                self.assertEqual(flow.get("out_of_order", 0), 0, flow)
                self.assertLess(flow["lost_percent"], 1, flow)
        self.assertEqual(pair.client.status()["threads"], 2)
        began = time.monotonic()
        tcp = wait_for(lambda: iperf(network.client, network.server, INNER["server"], 3, 4), 10)
        print(f"{tcp.mbit:.0f} Mbit/s over four flows, {time.monotonic() - began:.1f} s")
