"""TCP paths: both families, source addresses, reload, cookies, and what strangers may do at the port."""

import sys
import time

from harness import bond
from harness.bond import INNER, INNER6, BondCase, SourcePair, reachable
from harness.capture import Capture
from harness.floods import Flood
from harness.netns import SERVER, SERVER6, Link, shaped
from harness.processes import REPOSITORY, open_descriptors, wait_for
from harness.traffic import Iperf, Pinger, Stream, iperf, ping

TCP = 6
#: Runs as a stranger: `dial(address, source)` connects, `fate(s)` says what comes back and whether it is closed
STRANGER = f"""
import sys, socket, select, struct, time, errno
sys.path.insert(0, {str(REPOSITORY / "Tests" / "EndToEnd")!r})
from harness.floods import initiation, mac1_key
def dial(address, source=None):
    s = socket.create_connection((address, {bond.PORT}), 3, source_address=(source, 0) if source else None)
    s.settimeout(3)
    return s
def message(body): return b"CwB1" + struct.pack("!H", len(body)) + body
def fate(s, seconds=2):
    data, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([s], [], [], max(0, end - time.monotonic()))[0]: break
        try: got = s.recv(4096)
        except ConnectionError: return data, True
        if not got: return data, True
        data += got
    return data, False
def is_open(s): return not fate(s, 0.01)[1]
def states(sockets):
    poll = select.poll()
    for s in sockets: poll.register(s, select.POLLIN)
    ended = {{number for number, _ in poll.poll(0)}}
    return "".join("01"[s.fileno() not in ended] for s in sockets)
"""


class TCPCase(BondCase):
    needs = ("causeway", "network", "wg", "iperf3", "ping")

    def stranger(self, host, script: str, *arguments, seconds: float = 15) -> list[str]:
        return host.run([sys.executable, "-c", STRANGER + script, *arguments], seconds=seconds).stdout.split()

    def tcp_pair(self, network, **options):
        words = {index: "tcp" for index in range(len(network.links))}
        return self.pair(network, path_words=words, server_options={"ListenTCP": bond.PORT}, **options)


class Paths(TCPCase):
    def test_ipv6(self):
        network = self.network([Link(), Link()])
        pair = self.tcp_pair(network, address=SERVER6)
        self.assertEqual({path["transport"] for path in pair.client.paths().values()}, {"tcp"})
        self.assertTrue(all("fd99::1" in path["remote"] for path in pair.client.paths().values()))
        reachable(network.client, INNER6["server"], 5)
        self.assertGreater(iperf(network.client, network.server, INNER6["server"], 3).mbit, 20)
        self.assertEqual({path["transport"] for path in pair.server.paths().values()}, {"tcp"})

    def test_from_source_addresses(self):
        network = self.network([Link(), Link()])
        pair = self.own(SourcePair(network, path_words={0: "tcp", 1: "tcp"}, server_options={"ListenTCP": bond.PORT}), "stop")
        pair.wait_up()
        sources = {path["remote"].rpartition(":")[0] for path in pair.server.paths().values()}
        self.assertEqual(sources, {"10.77.0.1", "10.77.1.1"})
        self.assertEqual({path["via"] for path in pair.client.paths().values()}, {"10.77.0.1", "10.77.1.1"})
        self.assertEqual(ping(network.client, INNER["server"], 50).replies, 50)

    def test_a_reload_adds_and_removes_them_under_traffic(self):
        network = self.network([Link(), Link()])
        pair = self.pair(network, links=[0], path_words={1: "tcp"}, server_options={"ListenTCP": bond.PORT})
        pinger = self.own(Pinger(network.client, INNER["server"], 250), "stop")
        pair.client.reload(pair.client_text([0, 1]))
        pair.wait_up(8, paths=2)
        self.assertEqual(pair.client.paths()["p1"]["transport"], "tcp")
        established = lambda: network.server.run(f"ss -Htn state established sport = :{bond.PORT}").stdout.strip()
        self.assertTrue(established())
        pair.client.reload(pair.client_text([0]))
        pair.client.wait_status(lambda s: [p["name"] for p in s["peers"][0]["paths"]] == ["p0"], 8, "p0 alone")
        wait_for(lambda: not established(), 5, "the end of the connection")
        self.assertGreaterEqual(pinger.result().replies, 249)

    def test_a_connection_that_ends_is_made_anew(self):
        network = self.network([Link()])
        pair = self.tcp_pair(network)
        before = next(iter(pair.server.paths().values()))["remote"]
        network.server.run(["ss", "-K", "sport", "=", f":{bond.PORT}"], check=False)
        wait_for(lambda: ping(network.client, INNER["server"], 1, wait=0.5).replies, 8, "an echo over a new connection")
        pair.server.wait_status(lambda s: before not in [p["remote"] for p in s["peers"][0]["paths"]], 5, "another port")


class Sum(TCPCase):
    """What paths over TCP carry together and beside UDP: clearly more than one of two links of 50 Mbit/s, which carries 45.5. How much more,
    and the ping beside it, is the benchmark's (`tcp-50+50`, `tcp-lossy`)."""

    LEAST = 60

    exclusive = True
    needs = (*TCPCase.needs, "emulator")

    def loaded(self, network, tcp, seconds: float = 9):
        """Mbit/s of a download from second 2 on, the ping's p99 beside it, and the sender's paths."""
        pair = self.pair(network, path_words={index: "tcp" for index in tcp}, server_options={"ListenTCP": bond.PORT})
        load = self.own(Iperf(network.client, network.server, INNER["server"], seconds), "stop")
        echoes = self.own(Pinger(network.client, INNER["server"], int((seconds - 0.5) * 50)), "stop")
        rates = [bits / 1e6 for start, _, bits in load.result().intervals if start >= 1.5]
        paths = {path["transport"]: path for path in pair.server.paths().values()}
        return sum(rates) / len(rates), echoes.result().percentile(0.99, 3), paths

    def test_udp_and_tcp_add_up(self):
        mbit, p99, _ = self.loaded(self.network([shaped(50, 10), shaped(50, 10)]), tcp=[1])
        print(f"{mbit:.1f} Mbit/s, ping p99 {p99:.1f} ms")
        self.assertGreaterEqual(mbit, self.LEAST)

    def test_two_of_tcp_add_up(self):
        mbit, p99, _ = self.loaded(self.network([shaped(50, 10), shaped(50, 10)]), tcp=[0, 1])
        print(f"{mbit:.1f} Mbit/s, ping p99 {p99:.1f} ms")
        self.assertGreaterEqual(mbit, self.LEAST)

    def test_what_tcp_repeats_is_not_sent_twice(self):
        """A lost segment holds up all behind it for a round trip: no reason to send that by the other path, nor to doubt the path."""
        mbit, p99, paths = self.loaded(self.network([shaped(50, 10), shaped(50, 10, loss=0.005)]), tcp=[1])
        print(f"{mbit:.1f} Mbit/s, ping p99 {p99:.1f} ms, {paths['tcp']['lost_packets']} taken for lost")
        self.assertLessEqual(paths["tcp"]["lost_packets"], 50)
        self.assertGreaterEqual(mbit, self.LEAST)

    def test_it_carries_its_share_soon_after_a_black_hole(self):
        """The kernel would wait as long again as the hole lasted: a new connection asks every second."""
        network = self.network([shaped(50, 10), shaped(50, 10)])
        self.pair(network, path_words={1: "tcp"}, server_options={"ListenTCP": bond.PORT})
        load = self.own(Stream(network.client, network.server, INNER["server"], 10), "stop")
        time.sleep(2)
        gone = network.emulator.set(1, blackhole=True)
        time.sleep(3)
        back = network.emulator.set(1, blackhole=False)
        result = load.result()
        share, after = result.mbit(gone + 1, back), result.mbit(back + 2, back + 4)
        print(f"{share:.1f} Mbit/s without it, {after:.1f} from two seconds after its return")
        self.assertIsNone(result.error)
        self.assertGreaterEqual(share, 32)
        self.assertGreaterEqual(after, self.LEAST)


class Strangers(TCPCase):
    def test_what_is_wrong_closes_without_a_word(self):
        network = self.network([Link()])
        pair = self.pair(network, server_options={"ListenTCP": bond.PORT})
        script = """
key = mac1_key(sys.argv[2])
good = initiation(key)
rows = {
  "magic": b"CwB2" + struct.pack("!H", 148) + good, "short length": message(bytes(31)), "long length": message(bytes(600)),
  "type": message(bytes([9]) + bytes(147)), "mac1": message(good[:116] + bytes(16) + good[132:]), "nonsense": message(good),
  "response": message(b"\\2\\0\\0\\0" + bytes(88)), "index": message(b"\\4\\0\\0\\0" + bytes(28)), "http": b"GET / HTTP/1.1\\r\\n\\r\\n",
  "two": message(good) + message(good),
}
for name, data in rows.items():
    s = dial(sys.argv[1])
    s.sendall(data)
    got, closed = fate(s)
    if got or not closed: print(name.replace(" ", "-"), got.hex() or "-", closed)
# Half a message is waited for.
s = dial(sys.argv[1])
s.sendall(message(good)[:50])
print("open" if is_open(s) else "closed")
"""
        for address in (SERVER, "10.77.0.2"):
            self.assertEqual(self.stranger(network.client, script, address, pair.keys["server"].public), ["open"])
        self.alive(pair.server)
        self.assertGreaterEqual({drop["name"]: drop["count"] for drop in pair.server.status()["drops"]}["streamViolation"], 18)

    def test_under_load_a_cookie_comes_over_tcp_and_whoever_uses_it_gets_in(self):
        network = self.network([Link()])
        pair = self.tcp_pair(network, up=False)
        public = pair.keys["server"].public
        reachable(network.client, INNER["server"], 10)
        flood = self.own(Flood(network, SERVER, bond.PORT, public, 4000), "stop")
        flood.wait_running()
        script = """
key = mac1_key(sys.argv[2])
for attempt in range(20):
    s = dial(sys.argv[1])
    first = initiation(key)
    s.sendall(message(first))
    got, closed = fate(s, 0.5)
    if got: break
    time.sleep(0.1)
print(got[:4] == b"CwB1", got[4:6] == struct.pack("!H", 64), got[6:10] == b"\\3\\0\\0\\0", got[10:14] == first[4:8], closed)
bad = dial(sys.argv[1])
bad.sendall(message(first[:116] + bytes(16) + first[132:]))
got, closed = fate(bad, 1)
print(got == b"", closed)
"""
        answers = self.stranger(network.client, script, SERVER, public)
        self.assertEqual(answers, ["True"] * 4 + ["False"] + ["True"] * 2, "a cookie, and room for a second first message")
        # Ours from the start, under the flood.
        pair.client.process.stop()
        pair.client.restart()
        took = reachable(network.client, INNER["server"], 12)
        print(f"in after {took:.1f} s; {flood.stop()} initiations")
        self.alive(pair.server)

    def test_sixteen_of_an_ipv6_network_and_256_in_all_the_oldest_goes(self):
        network = self.network([Link()])
        pair = self.pair(network, server_options={"ListenTCP": bond.PORT})
        batch = "".join(f"addr add 10.77.0.{100 + i}/24 dev p0\n" for i in range(17))
        batch += "".join(f"addr add fd77:0::a{i:x}/64 dev p0 nodad\n" for i in range(8))
        network.client.run(["ip", "-batch", "-"], input=batch)
        # Answers go out by the address that asked for them.
        descriptors = open_descriptors(pair.server.worker)
        script = """
six = [dial("fd77:0::2", f"fd77:0::a{i % 8:x}") for i in range(20)]
time.sleep(0.3)
print(states(six))
for s in six: s.close()
time.sleep(0.2)
many = [dial("10.77.0.2", f"10.77.0.{100 + i // 16}") for i in range(17 * 16)]
time.sleep(0.3)
print(states(many), flush=True)
time.sleep(5.3)
print(states(many).count("1"))
"""
        six, many, later = self.stranger(network.client, script)
        self.assertEqual(six, "0" * 4 + "1" * 16, "of one /64")
        self.assertEqual(many, "0" * 16 + "1" * 256, "in all")
        self.assertEqual(later, "0", "after five seconds")
        wait_for(lambda: open_descriptors(pair.server.worker) == descriptors, 5, "as many descriptors as before")

    def test_a_path_keeps_its_connection_until_another_one_proves_itself(self):
        """A known index is no proof: a stranger who saw one on the wire says it on a connection of his own."""
        network = self.network([Link()])
        capture = self.own(Capture(network.client, "p0"), "stop")
        pair = self.tcp_pair(network)
        before = next(iter(pair.server.paths().values()))["remote"]

        def indices():
            found = set()
            for packet in capture.packets:
                payload = bytes.fromhex(packet.get("payload", ""))
                if packet["out"] and packet["protocol"] == TCP and payload[2:6] == b"\4\0\0\0":
                    found.add(payload[6:10].hex())
            return found

        wait_for(lambda: len(indices()) > 0, 5, "an index on the wire")
        pinger = self.own(Pinger(network.client, INNER["server"], 150), "stop")
        script = """
for index in sys.argv[2:]:
    s = dial(sys.argv[1])
    s.sendall(message(b"\\4\\0\\0\\0" + bytes.fromhex(index) + struct.pack("<Q", 1 << 20) + bytes(64)))
    got, closed = fate(s)
    print(got.hex() or "-", closed)
"""
        known = sorted(indices())
        answers = self.stranger(network.client, script, SERVER, *known)
        self.assertEqual(answers, ["-", "True"] * len(known))
        self.assertEqual(pinger.result().replies, 150)
        self.assertEqual(next(iter(pair.server.paths().values()))["remote"], before)
