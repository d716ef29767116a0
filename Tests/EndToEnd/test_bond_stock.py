"""A stock WireGuard peer (wireguard-go with wg) and `causeway bond`, each in both roles."""

import time

from harness import bond
from harness.bond import BondCase, BondEnd, Keys, WireGuardEnd, preshared_key, reachable, section
from harness.floods import Flood
from harness.netns import Link
from harness.processes import wait_for
from harness.traffic import Pinger, iperf, ping

OURS, THEIRS = "10.66.0.1", "10.66.0.2"


class StockCase(BondCase):
    needs = ("causeway", "network", "wireguard-go", "wg", "iperf3", "ping")

    def stand(self, we_initiate: bool, psk: str | None = None, their_psk: str | None = None, keepalive: int | None = None, links=None):
        """One link, we on one end and wireguard-go on the other: (network, we, they). Who initiates is the client."""
        network = self.network(links or [Link()])
        ours, theirs = Keys(), Keys()
        our_host, their_host = (network.client, network.server) if we_initiate else (network.server, network.client)
        there = f"10.77.0.2:{bond.PORT}"
        text = section("Interface", PrivateKey=ours.private, Address=f"{OURS}/24", ListenPort=None if we_initiate else bond.PORT, MTU=1420)
        text += section(
            "Peer", PublicKey=theirs.public, PresharedKey=psk, AllowedIPs=f"{THEIRS}/32", Endpoint=there if we_initiate else None,
            PersistentKeepalive=keepalive if we_initiate else None,
        )  # fmt: skip
        peer = {"public": ours.public, "allowed": f"{OURS}/32", "psk": their_psk if their_psk else psk}
        if not we_initiate:
            peer |= {"endpoint": there, "keepalive": keepalive}
        they = self.own(WireGuardEnd(their_host, theirs, [f"{THEIRS}/24"], [peer], bond.PORT if we_initiate else None, mtu=1420), "stop")
        we = self.own(BondEnd(our_host, text), "stop")
        if we_initiate:
            self.asker, self.asked = (our_host, THEIRS), (their_host, OURS)
        else:
            self.asker, self.asked = (their_host, OURS), (our_host, THEIRS)
        return network, we, they

    def connects(self, we, they):
        reachable(*self.asker, 8)
        reachable(*self.asked, 3)
        self.assertGreater(they.last_handshake(), 0)
        we.wait_status(lambda status: status["peers"][0]["kind"] == "stock", 6, "the word that it is a stock peer")


class Connecting(StockCase):
    def test_it_connects_to_us(self):
        network, we, they = self.stand(we_initiate=False)
        self.connects(we, they)
        for download in (True, False):
            self.assertGreater(iperf(*self.hosts(network), OURS, 2, download=download).mbit, 50)
        echoes = ping(network.client, OURS, 50, size=1392)
        self.assertEqual(echoes.replies, 50, "packets of the whole MTU")

    def hosts(self, network):
        return network.client, network.server

    def test_we_connect_to_it(self):
        network, we, they = self.stand(we_initiate=True)
        self.connects(we, they)
        for download in (True, False):
            self.assertGreater(iperf(network.client, network.server, THEIRS, 2, download=download).mbit, 50)

    def test_a_preshared_key_in_both_roles(self):
        for we_initiate in (False, True):
            with self.subTest(we_initiate=we_initiate):
                _, we, they = self.stand(we_initiate, psk=preshared_key())
                self.connects(we, they)

    def test_another_preshared_key_connects_nobody(self):
        def row(we_initiate):
            def run():
                _, we, they = self.stand(we_initiate, psk=preshared_key(), their_psk=preshared_key())
                with self.assertRaises(AssertionError):
                    reachable(*self.asker, 3)
                self.alive(we)

            return run

        for we_initiate in (False, True):
            row(we_initiate)()


class Moving(StockCase):
    patient = True

    def test_it_roams_and_we_follow(self):
        """Behind a NAT that forgets: wireguard-go of 2022 itself clings to a source address that is gone until its next handshake."""
        network, we, they = self.stand(we_initiate=False, keepalive=1, links=[Link(nat=True)])
        self.connects(we, they)
        before = we.status()["peers"][0]["endpoint"]
        network.rebind(0)
        wait_for(lambda: ping(network.client, OURS, 1, wait=0.5).replies, 5, "an echo by the new mapping")
        self.assertNotEqual(we.status()["peers"][0]["endpoint"], before)

    def test_we_roam_and_it_follows(self):
        network, we, they = self.stand(we_initiate=True)
        self.connects(we, they)
        network.change_address(0, 77)
        wait_for(lambda: ping(network.client, THEIRS, 1, wait=0.5).replies, 5, "an echo from the new address")
        self.assertIn("10.77.0.77", they.endpoint())

    def test_restarts_of_either_side_in_both_roles(self):
        """Who answers and restarts knows no session: a stock initiator asks anew after 15 s without a word, and so do we."""

        rows = {}
        for we_initiate in (False, True):
            for ours in (False, True):
                network, we, they = self.stand(we_initiate)
                asker = self.asker
                self.connects(we, they)
                victim = we if ours else they

                def row(victim=victim, asker=asker):
                    victim.kill()
                    victim.restart()
                    took = reachable(*asker, 19, every=0.3)
                    print(f"back after {took:.1f} s")

                rows[f"{'we' if ours else 'it'} restart, {'we' if we_initiate else 'it'} initiate"] = row
        self.side_by_side(rows)


class Load(StockCase):
    """Under a flood of initiations with a right mac1 both kinds answer with cookies, and whoever is asked for one still gets in."""

    def test_it_gets_in_while_we_are_flooded(self):
        network, we, they = self.stand(we_initiate=False)
        flood = self.own(Flood(network, "10.77.0.2", bond.PORT, we.status()["public_key"], 20000), "stop")
        flood.wait_running()
        time.sleep(1.5)
        reachable(*self.asker, 15)
        sent = flood.stop()
        print(f"{sent} initiations")
        self.assertGreater(sent, 5000)
        self.assertTrue([line for line in they.process.lines + they.process.errors if "cookie" in line.lower()], "no cookie was asked for")
        self.alive(we)

    def test_we_get_in_while_it_is_flooded(self):
        network, we, they = self.stand(we_initiate=True)
        flood = self.own(Flood(network, "10.77.0.2", bond.PORT, they.keys.public, 20000), "stop")
        flood.wait_running()
        time.sleep(1.5)
        reachable(*self.asker, 30)
        self.assertGreater(flood.stop(), 5000)
        self.assertTrue([line for line in they.process.lines + they.process.errors if "cookie" in line.lower()], "it wasn't under load")
        self.alive(we)


class Rekey(StockCase):
    """The hundred and twenty seconds in real time, both roles at once."""

    patient = True

    def test_no_echo_is_lost_over_a_rekey_in_either_role(self):
        rows = {}
        for we_initiate in (False, True):
            network, we, they = self.stand(we_initiate)
            asker = self.asker
            self.connects(we, they)

            def row(we=we, they=they, asker=asker):
                first = they.last_handshake()
                pinger = Pinger(*asker, count=1310, every=0.1)
                try:
                    wait_for(lambda: they.last_handshake() > first, 135, "a second handshake", every=1)
                    self.assertGreaterEqual(they.last_handshake() - first, 115)
                    time.sleep(1)
                    echoes = pinger.result()
                finally:
                    pinger.stop()
                self.assertGreaterEqual(echoes.replies, 1309)
                self.alive(we, they)

            rows[f"{'we' if we_initiate else 'it'} initiates"] = row
        self.side_by_side(rows)
