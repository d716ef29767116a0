"""A bond under its user's hands: reload, another scheduler, kill -9, clean-up."""

import time

from harness.bond import INNER, PORT, BondCase, BondEnd, Keys, reachable, section
from harness.netns import SERVER, shaped
from harness.processes import wait_for
from harness.traffic import Iperf, Pinger, iperf


class Reload(BondCase):
    def setUp(self):
        self.net = self.network([shaped(20, 5), shaped(12, 15)])

    def test_paths_come_and_go_under_traffic(self):
        pair = self.pair(self.net, links=[0])
        pinger = self.own(Pinger(self.net.client, INNER["server"], 500), "stop")
        time.sleep(0.5)
        pair.client.reload(pair.client_text([0, 1]))
        pair.wait_up(8, paths=2)
        both = iperf(self.net.client, self.net.server, INNER["server"], 4)
        pair.client.reload(pair.client_text([1]))
        pair.client.wait_status(lambda s: {p["name"] for p in s["peers"][0]["paths"]} == {"p1"}, 8, "p1 alone")
        echoes = pinger.result()
        self.assertGreater(both.mbit, 0.7 * 32 * 1348 / 1482)
        self.assertGreaterEqual(echoes.replies, 498, "the link isn't dropped")
        self.assertEqual(iperf(self.net.client, self.net.server, INNER["server"], 2).report["end"]["sum_received"]["bytes"] > 0, True)

    def test_peers_come_and_go_under_traffic(self):
        pair = self.pair(self.net)
        pinger = self.own(Pinger(self.net.client, INNER["server"], 250), "stop")
        other = Keys()
        plain = pair.server_text()
        route = lambda: self.net.server.run(["ip", "route", "get", "10.66.9.1"], check=False).stdout
        pair.server.reload(plain + section("Peer", PublicKey=other.public, AllowedIPs="10.66.9.0/24"))
        self.assertEqual([peer["public_key"] for peer in pair.server.status()["peers"]], [pair.keys["client"].public, other.public])
        self.assertIn(f"dev {pair.server.name}", route())
        text = section("Interface", PrivateKey=other.private, Address="10.66.9.1/24", Table="off", Threads=1)
        text += section("Peer", PublicKey=pair.keys["server"].public, AllowedIPs="10.66.0.0/24", Endpoint=f"10.77.0.2:{PORT}", PersistentKeepalive=1)
        self.own(BondEnd(self.net.client, text), "stop")
        pair.server.wait_status(lambda s: s["peers"][1]["kind"] == "causeway", 8, "the second peer")
        pair.server.reload(plain)
        self.assertEqual([peer["public_key"] for peer in pair.server.status()["peers"]], [pair.keys["client"].public])
        self.assertNotIn(f"dev {pair.server.name}", route())
        self.assertGreaterEqual(pinger.result().replies, 249)

    def test_a_rate_and_a_weight_change_live_and_one_flow_has_all_of_it(self):
        """With two threads at both ends, which share what was fixed."""
        pair = self.pair(self.net, both_options={"Threads": 2}, path_words={0: "rate=8mbit/4mbit", 1: "rate=2mbit/2mbit"})
        for download, rate in ((False, 10), (True, 6)):
            mbit = iperf(self.net.client, self.net.server, INNER["server"], 5, download=download).mbit
            self.assertGreater(mbit, 0.8 * rate * 1348 / 1482, f"download: {download}")
            self.assertLess(mbit, 1.02 * rate)
        paths = pair.client.paths()
        self.assertEqual([(path["capacity_up"], path["capacity_down"]) for path in paths.values()], [(8e6, 4e6), (2e6, 2e6)])
        self.assertEqual(len(pair.server.status()["peers"][0]["paths"]), 2, "one row a path, whatever the threads")
        pair.path_words = {0: "rate=4mbit/4mbit", 1: "rate=2mbit/2mbit"}
        pair.client.reload(pair.client_text())
        mbit = iperf(self.net.client, self.net.server, INNER["server"], 4, download=False).mbit
        self.assertTrue(0.75 * 6 * 1348 / 1482 < mbit < 6.1, mbit)

    def test_more_paths_than_the_threads_have_ids_for_are_refused(self):
        pair = self.pair(self.net, both_options={"Threads": 8})
        before = pair.client.paths()
        more = pair.client_text().replace(f"{SERVER}:{PORT} via p0 name=p0", f"{SERVER}:{PORT} via p0 name=p0\nPath = {SERVER}:{PORT}\nPath = {SERVER}:{PORT} via 10.77.0.1")
        pair.client.rewrite(more)
        for command in ("reload", "check"):
            code, _, errors = pair.client.command(command, pair.client.name if command == "reload" else pair.client.path)
            self.assertEqual(code, 2)
            self.assertIn("4 paths with 8 threads need 32 path ids, there are 31", errors)
        self.assertEqual(set(pair.client.paths()), set(before))
        self.assertEqual({path["state"] for path in pair.client.paths().values()}, {"normal"})

    def test_the_scheduler_changes_live(self):
        pair = self.pair(self.net)
        load = self.own(Iperf(self.net.client, self.net.server, INNER["server"], 8), "stop")
        for scheduler in ("cfs", "earliest", "backup", "redundant", "auto"):
            for end, side in ((pair.client, "client"), (pair.server, "server")):
                pair.options[side]["Scheduler"] = scheduler
                end.reload(pair.client_text() if side == "client" else pair.server_text())
            self.assertEqual(pair.client.status()["scheduler"], scheduler)
            time.sleep(1)
        result = load.result()
        self.assertGreater(min(rate for _, _, rate in result.intervals[1:]), 5e6, result.intervals)

    def test_a_broken_file_changes_nothing(self):
        pair = self.pair(self.net)
        before = pair.client.status()["peers"][0]["paths"]
        pair.client.rewrite(pair.client.text + "Colour = blue\n")
        code, _, errors = pair.client.command("reload", pair.client.name)
        self.assertNotEqual(code, 0)
        self.assertIn("Colour", errors)
        self.assertEqual([p["name"] for p in pair.client.status()["peers"][0]["paths"]], [p["name"] for p in before])
        reachable(self.net.client, INNER["server"], 2)


class Killed(BondCase):
    patient = True

    def test_either_or_both_are_killed_and_start_again(self):
        rows = {}
        for name, victims in {"client": ["client"], "server": ["server"], "both": ["client", "server"]}.items():
            network = self.network([shaped(20, 5), shaped(12, 15)])
            pair = self.pair(network)

            def row(network=network, pair=pair, victims=victims, name=name):
                for victim in victims:
                    getattr(pair, victim).kill()
                for victim in victims:
                    getattr(pair, victim).restart()
                took = reachable(network.client, INNER["server"], 18)
                print(f"{name}: back after {took:.2f} s")
                pair.wait_up(10)

            rows[name] = row
        self.side_by_side(rows)

    def test_the_packet_process_dies_and_the_parent_says_so(self):
        import os
        import signal

        network = self.network([shaped(20, 5)])
        pair = self.pair(network)
        os.kill(pair.client.worker, signal.SIGKILL)
        self.assertNotEqual(pair.client.process.wait(10), 0)
        self.assertTrue(pair.client.process.errors, "a line that says why")
        self.assertEqual(network.client.run(["ip", "link", "show", pair.client.name], check=False).returncode, 1, "its interface is gone")

    def test_nothing_is_left_behind(self):
        network = self.network([shaped(20, 5)])

        def state():
            words = ("ip -4 route show table all", "ip -6 route show table all", "ip rule", "ip -6 rule", "ip -br link")
            return ["\n".join(sorted(network.client.run(w).stdout.splitlines())) for w in words]

        before = state()
        pair = self.pair(network)
        pair.client.process.stop()
        self.assertEqual(state(), before, "after SIGTERM")
        pair.client.restart()
        pair.client.kill()
        pair.client.restart()
        reachable(network.client, INNER["server"], 15)
        code, _, errors = pair.client.command("down", pair.client.name)
        self.assertEqual(code, 0, errors)
        self.assertEqual(pair.client.process.wait(5), 0)
        wait_for(lambda: state() == before, 3, "nothing left after SIGKILL, a start and `down`")
