"""Two paths that become one link: their sum, and what happens to them. Rates are low, so that the machine is never
what is measured."""

import time

from harness import bond
from harness.bond import INNER, INNER6, BondCase, SourcePair, reachable
from harness.netns import SERVER6, Link, shaped
from harness.traffic import EchoServer, Iperf, Pinger, iperf, ping

#: TCP payload of a full packet through the bond at MTU 1400, of its bytes on the wire
SHARE = 1348 / 1482


def two() -> list[Link]:
    return [shaped(20, 5), shaped(12, 15)]


def fragments(status: dict) -> bool:
    return any(path["fragmenting"] for path in status["peers"][0]["paths"])


def mean_mbit(result, start: float, end: float) -> float:
    rates = [rate for begin, stop, rate in result.intervals if begin >= start and stop <= end]
    return sum(rates) / max(1, len(rates)) / 1e6


class Sums(BondCase):
    def test_both_links_add_up_in_both_directions(self):
        network = self.network(two())
        pair = self.pair(network)
        for download in (True, False):
            result = iperf(network.client, network.server, INNER["server"], 6, download=download)
            self.assertGreater(result.mbit, 0.8 * 32 * SHARE, f"download: {download}, {pair.client.status()}")
        echoes = ping(network.client, INNER["server"], 50, size=1372)
        self.assertEqual(echoes.replies, 50, "packets of the whole MTU")

    def test_ipv6_outside_and_inside(self):
        network = self.network(two())
        self.pair(network, address=SERVER6)
        reachable(network.client, INNER6["server"], 5)
        result = iperf(network.client, network.server, INNER6["server"], 5)
        self.assertGreater(result.mbit, 0.75 * 32 * 1328 / 1502)

    def test_paths_from_source_addresses(self):
        """`via` an address; each path to another address of the server, as routing then decides by the destination."""
        network = self.network(two())
        pair = SourcePair(network)
        self.own(pair, "stop").wait_up()
        self.assertEqual({p["local"].rpartition(":")[0] for p in pair.client.paths().values()}, {"10.77.0.1", "10.77.1.1"})
        self.assertGreater(iperf(network.client, network.server, INNER["server"], 4).mbit, 0.7 * 32 * SHARE)

    def test_a_tcp_path_where_udp_is_blocked(self):
        network = self.network(two())
        network.client.drop_udp("p1")
        pair = self.pair(network, path_words={1: "tcp"}, server_options={"ListenTCP": bond.PORT})
        self.assertEqual(pair.client.paths()["p1"]["transport"], "tcp")
        result = iperf(network.client, network.server, INNER["server"], 6)
        self.assertGreater(result.mbit, 0.7 * 32 * SHARE, pair.client.status())

    def test_everything_over_tcp(self):
        network = self.network(two())
        for host in (network.client, network.server):
            host.drop_udp("p*")
        self.pair(network, path_words={0: "tcp", 1: "tcp"}, server_options={"ListenTCP": bond.PORT})
        self.assertGreater(iperf(network.client, network.server, INNER["server"], 4).mbit, 0.6 * 32 * SHARE)


class Losing(BondCase):
    """A path goes while traffic flows."""

    def setUp(self):
        self.net = self.network([shaped(20, 10), shaped(20, 10)])

    def test_a_pulled_link_and_its_return(self):
        pair = self.pair(self.net)
        load = self.own(Iperf(self.net.client, self.net.server, INNER["server"], 12, interval=0.5), "stop")
        time.sleep(4)
        self.net.unplug(0)
        time.sleep(3)
        self.net.plug(0)
        result = load.result()
        self.assertGreater(mean_mbit(result, 5, 7), 0.85 * 20 * SHARE, "on the other link, a second later")
        self.assertGreater(mean_mbit(result, 10.5, 12), 0.8 * 40 * SHARE, f"on both, 3 s after the return: {result.intervals}")
        self.assertEqual({path["state"] for path in pair.client.paths().values()}, {"normal"})

    def blackhole(self, direction: str, scheduler: str | None = None, udp: bool = False):
        pair = self.pair(self.net, both_options={"Scheduler": scheduler, "Duplicate": "off" if udp else None})
        for link in (0, 1):
            if udp:
                server = EchoServer(self.net.server, INNER["server"])
            pinger = self.own(Pinger(self.net.client, INNER["server"], 200, size=400, port=7007 if udp else None), "stop")
            time.sleep(1.5)
            self.net.emulator.set(link, direction, blackhole=True)
            echoes = pinger.result()
            self.net.emulator.set(link, "both", blackhole=False)
            if udp:
                server.stop()
            print(f"{direction}, link {link}: {echoes.replies} of 200, gap {echoes.longest_gap():.3f} s")
            self.assertGreaterEqual(echoes.replies, 196, f"link {link}: {pair.client.status()}")
            self.assertLess(echoes.longest_gap(), 0.4, f"link {link}")
            pair.wait_up(15)

    def test_packets_vanish_both_ways(self):
        self.blackhole("both", udp=True)

    def test_packets_vanish_on_the_way_up(self):
        self.blackhole("up", udp=True)

    def test_packets_vanish_on_the_way_down(self):
        self.blackhole("down", udp=True)

    def test_redundant_notices_nothing(self):
        self.pair(self.net, both_options={"Scheduler": "redundant"})
        for link in (0, 1):
            pinger = self.own(Pinger(self.net.client, INNER["server"], 150), "stop")
            time.sleep(1)
            self.net.emulator.set(link, blackhole=True)
            echoes = pinger.result()
            self.net.emulator.set(link, blackhole=False)
            self.assertEqual(echoes.replies, 150)
            self.assertLess(echoes.longest_gap(), 0.1)
            time.sleep(2)

    def test_all_paths_dead_and_back(self):
        pair = self.pair(self.net)
        self.net.emulator.set(blackhole=True)
        time.sleep(6)
        pinger = self.own(Pinger(self.net.client, INNER["server"], 150), "stop")
        time.sleep(1)
        back = self.net.emulator.set(blackhole=False)
        echoes = pinger.result()
        first = min((at for at in echoes.got if at is not None), default=float("inf"))
        self.assertLess(first - back, 1, f"traffic within a second of the return: {pair.client.status()}")


class Changing(BondCase):
    def test_a_nat_rebinds(self):
        network = self.network([shaped_nat(20, 10), shaped_nat(12, 15)])
        pair = self.pair(network)
        before = {path["id"]: path["remote"] for path in pair.server.paths().values()}
        pinger = self.own(Pinger(network.client, INNER["server"], 250), "stop")
        time.sleep(1.5)
        network.rebind(0)
        echoes = pinger.result()
        self.assertGreaterEqual(echoes.replies, 240)
        self.assertLess(echoes.longest_gap(), 0.5)

        def moved(status):
            now = {path["id"]: path["remote"] for path in status["peers"][0]["paths"]}
            return any(now.get(number) != remote for number, remote in before.items())

        pair.server.wait_status(moved, 8, "another remote address")
        pair.wait_up(8)
        self.assertGreater(iperf(network.client, network.server, INNER["server"], 4).mbit, 0.75 * 32 * SHARE)

    def test_an_address_changes(self):
        network = self.network(two())
        pair = self.pair(network)
        pinger = self.own(Pinger(network.client, INNER["server"], 250), "stop")
        time.sleep(1.5)
        network.change_address(0, 77)
        echoes = pinger.result()
        self.assertGreaterEqual(echoes.replies, 240)
        self.assertLess(echoes.longest_gap(), 0.5)
        pair.wait_up(8)
        self.assertIn("10.77.0.77", " ".join(path["remote"] for path in pair.server.paths().values()))
        self.assertGreater(iperf(network.client, network.server, INNER["server"], 4).mbit, 0.75 * 32 * SHARE)

    def test_the_mtu_drops(self):
        """Packets too long for a path vanish from now on: it carries fragments, and status says so."""
        network = self.network(two())
        pair = self.pair(network)
        load = self.own(Iperf(network.client, network.server, INNER["server"], 14, interval=0.5), "stop")
        time.sleep(3)
        network.emulator.set(1, mtu=1300)
        time.sleep(0.5)
        pair.server.wait_status(fragments, 9, "fragments from the sender")
        result = load.result()
        self.assertGreater(mean_mbit(result, 10, 14), 0.7 * 32 * SHARE, result.intervals)
        self.assertEqual(ping(network.client, INNER["server"], 50, size=1372).replies, 50)

    def test_a_path_with_a_small_mtu_from_the_start(self):
        network = self.network([shaped(20, 5), shaped(12, 15, mtu=1400)])
        pair = self.pair(network)
        pair.client.wait_status(fragments, 8, "fragments on p1")
        self.assertGreater(iperf(network.client, network.server, INNER["server"], 5).mbit, 0.7 * 32 * SHARE)


def shaped_nat(mbit: float, delay: float) -> Link:
    link = shaped(mbit, delay)
    link.nat = True
    return link


class Weather(BondCase):
    """Links that misbehave under a download: no connection is reset, and the other path's worth goes on."""

    def run_row(self, fault, least: float):
        network = self.network([shaped(20, 10), shaped(10, 10)])
        pair = self.pair(network)
        load = self.own(Iperf(network.client, network.server, INNER["server"], 9), "stop")
        time.sleep(2)
        fault(network.emulator)
        result = load.result()
        print(f"{self._testMethodName}: {result.mbit:.1f} Mbit/s, least {least:.1f}")
        self.assertGreater(mean_mbit(result, 4, 9), least, f"{[round(r / 1e6, 1) for _, _, r in result.intervals]}")
        self.alive(pair.client, pair.server)

    def test_flapping_every_second(self):
        def flap(emulator):
            for _ in range(3):
                emulator.set(1, blackhole=True)
                time.sleep(1)
                emulator.set(1, blackhole=False)
                time.sleep(1)

        self.run_row(flap, 0.7 * 20 * SHARE)

    def test_a_step_of_delay(self):
        self.run_row(lambda emulator: emulator.set(1, delay=150), 0.7 * 20 * SHARE)

    def test_a_step_of_rate(self):
        self.run_row(lambda emulator: emulator.set(0, rate=4e6), 0.7 * 14 * SHARE)

    def test_thirty_percent_loss_on_one_path(self):
        self.run_row(lambda emulator: emulator.set(1, loss=0.3), 0.7 * 20 * SHARE)

    def test_reordering_duplicates_and_bit_flips(self):
        self.run_row(lambda emulator: emulator.set(reorder=0.05, reorderDelay=8, duplicate=0.02, corrupt=0.001), 0.6 * 30 * SHARE)
