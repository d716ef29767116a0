"""What the outer packets look like to the world: DF, DSCP, ECN, fragments."""

from harness import bond
from harness.bond import INNER, INNER6, BondCase, BondEnd, Keys, WireGuardEnd, section
from harness.capture import Capture
from harness.netns import SERVER, SERVER6, Link
from harness.processes import tool, wait_for
from harness.traffic import Pinger, iperf, ping

UDP = 17
TRANSPORT = "04000000"


class OuterCase(BondCase):
    needs = ("causeway", "network", "wg", "iperf3", "ping")

    def transports(self, capture: Capture, target=None) -> list[dict]:
        """Data messages that left for a (host, port)."""
        return [
            packet for packet in capture.packets
            if packet["out"] and packet["protocol"] == UDP and packet.get("payload", "").startswith(TRANSPORT)
            and (target is None or (packet["target"], packet["dport"]) == target)
        ]  # fmt: skip


class DontFragment(OuterCase):
    needs = (*OuterCase.needs, "wireguard-go")

    def stand(self, mtu: int = 1500):
        """Our peer and a stock one at the same server: (network, pair, stock's address)."""
        network = self.network([Link(mtu=mtu)])
        keys = Keys()
        pair = self.pair(network, server_more=section("Peer", PublicKey=keys.public, AllowedIPs="10.66.0.9/32"))
        peer = {"public": pair.keys["server"].public, "allowed": f"{INNER['server']}/32", "endpoint": f"10.77.0.2:{bond.PORT}"}
        stock = self.own(WireGuardEnd(network.client, keys, ["10.66.0.9/32"], [peer], routed=False), "stop")
        network.client.ip(f"route replace {INNER['server']}/32 dev {stock.name} src 10.66.0.9 table 99")
        network.client.ip("rule add from 10.66.0.9 lookup 99")
        words = [tool("ping"), "-c", "1", "-W", "1", "-I", "10.66.0.9", INNER["server"]]
        wait_for(lambda: network.client.run(words, check=False).returncode == 0, 10, "an echo of the stock peer")
        pair.server.wait_status(lambda status: status["peers"][1]["kind"] == "stock", 10, "a stock peer")
        return network, pair

    def from_stock(self, network, *words):
        done = network.client.run([tool("ping"), *words, "-W", "1", "-I", "10.66.0.9", INNER["server"]], check=False, seconds=15)
        return done.stdout

    def test_it_is_set_for_ours_and_off_for_a_stock_peer_at_the_same_socket(self):
        network, pair = self.stand()
        capture = self.own(Capture(network.server, "p0"), "stop")
        pinger = self.own(Pinger(network.client, INNER["server"], 100, size=1000), "stop")
        self.assertIn(" 0% packet loss", self.from_stock(network, "-c", "50", "-i", "0.02", "-s", "1000"))
        self.assertEqual(pinger.result().replies, 100)
        status = pair.server.status()
        ends = {peer["kind"]: peer for peer in status["peers"]}
        split = lambda text: (text.rpartition(":")[0], int(text.rpartition(":")[2]))
        ours = self.transports(capture, split(ends["causeway"]["paths"][0]["remote"]))
        theirs = self.transports(capture, split(ends["stock"]["endpoint"]))
        self.assertGreater(min(len(ours), len(theirs)), 45)
        self.assertEqual({packet["df"] for packet in ours}, {True})
        self.assertEqual({packet["df"] for packet in theirs}, {False})

    def test_a_stock_peer_behind_a_small_mtu_gets_fragments(self):
        """Also of whole runs, which the kernel cuts into no segments that it would have to fragment."""
        network, pair = self.stand(mtu=1400)
        capture = self.own(Capture(network.server, "p0"), "stop")
        self.assertIn(" 0% packet loss", self.from_stock(network, "-c", "20", "-i", "0.02", "-s", "1372"))
        self.assertTrue(any(packet["out"] and packet["fragment"] for packet in capture.packets))
        capture.stop()
        result = iperf(network.client, network.server, INNER["server"], 3, more=["-B", "10.66.0.9"])
        self.assertGreater(result.mbit, 5, pair.server.status()["drops"])

    def test_ipv6_probes_are_not_fragmented_by_this_machine(self):
        network = self.network([Link(mtu=1400)])
        pair = self.pair(network, up=False, address=SERVER6)
        captures = [self.own(Capture(host, "p0"), "stop") for host in (network.client, network.server)]
        pair.wait_up()
        for end in (pair.client, pair.server):
            status = end.wait_status(lambda s: s["peers"][0]["paths"][0]["fragmenting"], 10, "fragments of ours")
            self.assertLessEqual(status["peers"][0]["paths"][0]["mtu"], 1400)
        self.assertEqual(ping(network.client, INNER6["server"], 50, size=1300).replies, 50)
        for capture in captures:
            self.assertGreater(len(self.transports(capture)), 50)
            self.assertFalse([packet for packet in capture.packets if packet["fragment"]])


class TrafficClass(OuterCase):
    def echoes(self, network, tos: int):
        words = [tool("ping"), "-c", "10", "-i", "0.02", "-W", "1", "-Q", str(tos), INNER["server"]]
        self.assertIn(" 0% packet loss", network.client.run(words).stdout)

    def stand(self, **options):
        network = self.network([Link()])
        pair = self.pair(network, **options)
        outer = self.own(Capture(network.client, "p0"), "stop")
        inner = self.own(Capture(network.server, pair.server.name), "stop")
        return network, outer, inner

    def inner_classes(self, inner: Capture) -> set[int]:
        """Of echo requests that came out of the server's interface."""
        return {packet["tos"] for packet in inner.packets if not packet["out"] and packet["protocol"] == 1}

    def test_dscp_is_copied_on_request_only_and_reaches_the_other_end_untouched(self):
        for option, expected in ((None, 0), ("zero", 0), ("copy", 0xB8)):
            with self.subTest(DSCP=option):
                network, outer, inner = self.stand(client_options={"DSCP": option})
                self.echoes(network, 0xB8)
                self.assertEqual(max(packet["tos"] for packet in self.transports(outer)), expected)
                self.assertEqual(self.inner_classes(inner), {0xB8})

    def test_ecn_goes_out_and_comes_in_as_rfc_6040_says(self):
        network, outer, inner = self.stand()
        for mark in (0, 1, 2):
            self.echoes(network, mark)
        self.assertTrue({0, 1, 2} <= {packet["tos"] for packet in self.transports(outer)})
        self.assertEqual(self.inner_classes(inner), {0, 1, 2})
        # A router on the way marks whatever may be marked.
        rule = f"udp dport {bond.PORT} ip ecn {{ ect0, ect1 }} ip ecn set ce"
        table = f"table ip marker {{\nchain pre {{\ntype filter hook prerouting priority -300;\n{rule}\n}}\n}}\n"
        network.server.run([tool("nft"), "-f", "-"], input=table)
        before = len(inner.packets)
        for mark in (0, 1, 2):
            self.echoes(network, mark)
        later = {packet["tos"] for packet in inner.packets[before:] if not packet["out"] and packet["protocol"] == 1}
        self.assertEqual(later, {0, 3}, "what was not capable stays, what was is marked")
