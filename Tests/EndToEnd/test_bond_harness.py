"""The bad network itself: what the link emulator promises is what happens, so that a test that passes means something."""

import subprocess
import sys
import time

from harness.cases import Case
from harness.netns import SERVER, SERVER6, Link, Network, shaped
from harness.processes import tool
from harness.traffic import EchoServer, Iperf, Pinger, iperf, ping

LISTEN = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 7008)); s.settimeout(float(sys.argv[2]))
print("ready", flush=True)
while True:
    try: data, peer = s.recvfrom(65536)
    except TimeoutError: break
    print(peer[0], peer[1], len(data), data.count(0) == len(data), flush=True)
"""
SEND = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 9009))
for _ in range(int(sys.argv[2])): s.sendto(bytes(int(sys.argv[3])), (sys.argv[1], 7008)); time.sleep(0.001)
"""


class NetworkCase(Case):
    needs = ("emulator", "iperf3", "ping")

    def network(self, *links: Link) -> Network:
        return self.own(Network(list(links), seed=7), "close")

    def thrown(self, network, count: int, size: int = 400, address: str = "10.77.0.2", seconds: float = 3) -> list[list[str]]:
        """`count` datagrams of zeros from client to server: what arrived, as (address, port, length, still all zeros),
        until nothing more has come for so many `seconds`: longer than a busy machine lets a sender wait."""
        listener = self.own(network.server.start([sys.executable, "-c", LISTEN, address, seconds]), "kill")
        listener.line(0)
        network.client.run([sys.executable, "-c", SEND, address, count, size])
        listener.wait(20)
        return [line.split() for line in listener.lines[1:]]


class Emulated(NetworkCase):
    def test_delay_and_rate(self):
        network = self.network(shaped(30, 15))
        echoes = ping(network.client, "10.77.0.2", 100)
        self.assertEqual(echoes.replies, 100)
        self.assertTrue(30 <= echoes.median() < 32, echoes.median())
        for download in (True, False):
            mbit = iperf(network.client, network.server, "10.77.0.2", 4, download=download).mbit
            self.assertTrue(0.88 * 30 * 1448 / 1514 < mbit <= 30 * 1448 / 1514 * 1.02, mbit)

    def test_directions_are_different_links(self):
        network = self.network(Link(up={"delay": 5}, down={"delay": 20, "rate": 10e6}))
        self.assertTrue(25 <= ping(network.client, "10.77.0.2", 50).median() < 27)
        self.assertLess(iperf(network.client, network.server, "10.77.0.2", 2).mbit, 10)
        self.assertGreater(iperf(network.client, network.server, "10.77.0.2", 2, download=False).mbit, 20)

    def test_loss_duplication_and_reordering_by_seed(self):
        found = []
        for _ in range(2):
            network = self.network(Link(up={"loss": 0.1, "duplicate": 0.1}))
            found.append(len(self.thrown(network, 1000)))
            counted = network.emulator.counters()["0"]["up"]
            self.assertEqual(found[-1], counted["offered"] - counted["lost"] + counted["duplicated"])
            self.assertTrue(60 < counted["lost"] < 140 and 60 < counted["duplicated"] < 140, counted)
            network.close()
        self.assertEqual(found[0], found[1], "the same seed, the same chance")

    def test_a_flipped_bit_reaches_the_program(self):
        network = self.network(Link(up={"corrupt": 1}))
        arrived = self.thrown(network, 200)
        self.assertEqual(len(arrived), 200, "the checksum was corrected with it")
        self.assertEqual({word for *_, word in arrived}, {"False"})

    def test_long_packets_vanish_on_a_small_mtu(self):
        network = self.network(Link(up={"mtu": 1300}))
        self.assertEqual(len(self.thrown(network, 20, 1272)), 20)
        self.assertEqual(len(self.thrown(network, 20, 1273)), 0)

    def test_a_blackhole_discards_and_ends_at_once(self):
        network = self.network(shaped(100, 5))
        server = self.own(EchoServer(network.server, "10.77.0.2"), "stop")
        for direction in ("both", "up", "down"):
            pinger = self.own(Pinger(network.client, "10.77.0.2", 150, 0.02, 400, server.port), "stop")
            time.sleep(1)
            begin = network.emulator.set(0, direction, blackhole=True)
            time.sleep(1)
            end = network.emulator.set(0, direction, blackhole=False)
            echoes = pinger.result()
            silent = [at for at in echoes.got if at is not None and begin + 0.02 < at < end]
            self.assertEqual(silent, [])
            self.assertLess(min(at for at in echoes.got if at is not None and at > end) - end, 0.08)
            self.assertTrue(90 <= echoes.replies <= 102, echoes.replies)

    def test_a_rate_changes_under_way(self):
        network = self.network(shaped(40, 5))
        load = self.own(Iperf(network.client, network.server, "10.77.0.2", 6, interval=0.5), "stop")
        time.sleep(2.5)
        network.emulator.set(0, rate=10e6)
        rates = [rate / 1e6 for start, _, rate in load.result().intervals if start >= 4]
        self.assertTrue(7 < sum(rates) / len(rates) < 10, rates)

    def test_it_survives_interfaces_that_go_down(self):
        network = self.network(shaped(100, 1), shaped(100, 1))
        self.assertEqual(ping(network.client, "10.77.0.2", 5).replies, 5)
        for _ in range(3):
            network.unplug(0)
            self.assertEqual(ping(network.client, "10.77.0.2", 3, wait=0.2).replies, 0)
            network.plug(0)
            self.assertEqual(ping(network.client, "10.77.0.2", 5).replies, 5)
            self.assertEqual(ping(network.client, SERVER, 5).replies, 5)
            self.assertEqual(ping(network.client, SERVER6, 5).replies, 5)
        self.assertEqual(ping(network.client, "10.77.1.2", 5).replies, 5)

    def test_a_wrong_command_changes_nothing(self):
        network = self.network(shaped(100, 1))
        for wrong in ({"colour": 1}, {"rate": "fast"}, {"link": "7"}, {"loss": 2}):
            with self.assertRaises(ValueError):
                network.emulator.ask(**wrong)
        self.assertEqual(ping(network.client, "10.77.0.2", 5).replies, 5)


class Plain(NetworkCase):
    def test_it_agrees_with_the_kernels_token_bucket(self):
        figures = {}
        for name, link in {"tbf": Link(tbf=40), "emulator": shaped(40)}.items():
            network = self.network(link)
            figures[name] = iperf(network.client, network.server, "10.77.0.2", 4).mbit
            network.close()
        print(figures)
        self.assertLess(abs(figures["tbf"] / figures["emulator"] - 1), 0.06, figures)

    def test_both_families_reach_the_server_over_each_link(self):
        network = self.network(Link(), Link())
        for index in (0, 1):
            for address in (f"10.77.{index}.2", f"fd77:{index}::2", SERVER, SERVER6):
                words = [tool("ping"), "-c", "2", "-i", "0.05", "-W", "1", "-I", f"p{index}", address]
                self.assertEqual(network.client.run(words, check=False).returncode, 0, f"{address} over p{index}")

    def test_a_nat_hides_the_client_and_forgets(self):
        link = shaped(100, 1)
        link.nat = True
        network = self.network(link)
        ports = set()
        for _ in range(2):
            arrived = self.thrown(network, 5)
            self.assertEqual({address for address, *_ in arrived}, {"10.77.0.1"})
            ports |= {port for _, port, *_ in arrived}
            network.rebind(0)
        self.assertEqual(len(ports), 2, "another port after the rebind, from the same socket address inside")

    def test_an_address_changes(self):
        network = self.network(shaped(100, 1))
        network.change_address(0, 77)
        self.assertEqual({address for address, *_ in self.thrown(network, 5)}, {"10.77.0.77"})
        self.assertEqual(ping(network.client, SERVER6, 5).replies, 5)

    def test_namespaces_go_with_their_network(self):
        network = Network([shaped(10)])
        names = [host.name for host in network.hosts]
        network.close()
        left = subprocess.run([tool("ip"), "netns", "list"], capture_output=True, text=True).stdout
        self.assertFalse([name for name in names if name in left.split()])
