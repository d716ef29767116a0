"""Strangers and crowds: a hundred peers, floods, garbage. Nothing crashes, hangs, or grows past a limit; data keep flowing."""

import concurrent.futures
import random
import sys
import time

from harness import bond
from harness.bond import INNER, BondCase, BondEnd, Keys, WireGuardEnd, section
from harness.floods import Flood
from harness.netns import SERVER, Link, shaped
from harness.processes import REPOSITORY, resident_bytes, tool
from harness.traffic import Pinger

MIB = 1 << 20
THROW = """
import sys, socket, time
sys.path.insert(0, sys.argv[1])
from harness.floods import garbage
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    for index, packet in enumerate(garbage(int(sys.argv[4]), int(sys.argv[5]))):
        s.sendto(packet, (sys.argv[2], int(sys.argv[3])))
        if index % 64 == 63: time.sleep(0.002)
"""


class Floods(BondCase):
    needs = (*BondCase.needs, "wireguard-go")

    def test_data_flow_and_a_new_peer_gets_in_under_a_flood(self):
        network = self.network([Link(), Link()])
        newcomer = Keys()
        pair = self.pair(network, server_more=section("Peer", PublicKey=newcomer.public, AllowedIPs="10.66.0.9/32"))
        memory = resident_bytes(pair.server.pids)
        pinger = self.own(Pinger(network.client, INNER["server"], 500), "stop")
        flood = self.own(Flood(network, SERVER, bond.PORT, pair.keys["server"].public, 20000), "stop")
        flood.wait_running()
        time.sleep(1)
        peer = {"public": pair.keys["server"].public, "allowed": f"{INNER['server']}/32", "endpoint": f"10.77.0.2:{bond.PORT}"}
        stock = self.own(WireGuardEnd(network.client, newcomer, ["10.66.0.9/32"], [peer], routed=False), "stop")
        network.client.ip(f"route replace {INNER['server']}/32 dev {stock.name} src 10.66.0.9 table 99")
        network.client.ip("rule add from 10.66.0.9 lookup 99")
        done = network.client.run([tool("ping"), "-c", "40", "-i", "0.3", "-W", "1", "-I", "10.66.0.9", INNER["server"]], check=False, seconds=20)
        sent, echoes = flood.stop(), pinger.result()
        print(f"{sent} initiations; {echoes.replies} of 500, gap {echoes.longest_gap():.3f} s")
        self.assertGreater(sent, 20000)
        self.assertGreaterEqual(echoes.replies, 490)
        self.assertLess(echoes.longest_gap(), 0.3)
        self.assertIn("bytes from", done.stdout, f"the newcomer: {stock.process.story()}")
        self.assertLess(resident_bytes(pair.server.pids) - memory, 16 * MIB)

    def test_garbage_on_every_port(self):
        network = self.network([shaped(50, 2), shaped(50, 2)])
        pair = self.pair(network, server_options={"ListenTCP": bond.PORT}, client_options={"ListenPort": bond.PORT})
        memory = resident_bytes(pair.pids)
        pinger = self.own(Pinger(network.client, INNER["server"], 400), "stop")
        seed = random.SystemRandom().randrange(1 << 31)
        print(f"seed {seed}")
        for host, target in ((network.client, "10.77.0.2"), (network.server, "10.77.0.1")):
            words = [sys.executable, "-c", THROW, REPOSITORY / "Tests" / "EndToEnd", target, bond.PORT, seed, 20000]
            host.run(words, seconds=20)
        echoes = pinger.result()
        self.alive(pair.client, pair.server)
        self.assertGreaterEqual(echoes.replies, 396, f"seed {seed}")
        self.assertLess(resident_bytes(pair.pids) - memory, 16 * MIB, f"seed {seed}")

    def test_strangers_on_the_tcp_port(self):
        """A wrong magic closes silently; of silent connections an address has at most sixteen, for five seconds."""
        network = self.network([Link()])
        pair = self.pair(network, server_options={"ListenTCP": bond.PORT})
        script = f"""
import socket, time, select
def dial():
    s = socket.create_connection(("{SERVER}", {bond.PORT}), 3); s.settimeout(3); return s
for text in (b"GET / HTTP/1.1\\r\\n\\r\\n", bytes(600), b"\\x16\\x03\\x01" + bytes(200)):
    s = dial(); s.sendall(text)
    try: data = s.recv(100)
    except ConnectionError: data = b""
    assert data == b"", data
silent = [dial() for _ in range(40)]
time.sleep(0.5)
def closed(s):
    try: return bool(select.select([s], [], [], 0)[0]) and s.recv(1) == b""
    except ConnectionError: return True
print(sum(not closed(s) for s in silent), flush=True)
time.sleep(5.5)
print(sum(not closed(s) for s in silent), flush=True)
"""
        done = network.client.run([sys.executable, "-c", script], seconds=20)
        at_once, later = map(int, done.stdout.split())
        self.assertLessEqual(at_once, 16)
        self.assertEqual(later, 0)
        self.alive(pair.server)


class Crowd(BondCase):
    """A hundred clients of one server."""

    COUNT = 100
    exclusive = True

    def test_a_hundred_peers(self):
        network = self.network([Link()])
        server_keys, keys = Keys(), [Keys() for _ in range(self.COUNT)]
        text = section("Interface", PrivateKey=server_keys.private, Address="10.66.0.1/16", ListenPort=bond.PORT, Threads=1)
        for index, key in enumerate(keys):
            text += section("Peer", PublicKey=key.public, AllowedIPs=f"10.66.1.{index + 1}/32")
        server = self.own(BondEnd(network.server, text), "stop")
        # Ten of ours and ninety of wireguard-go.
        pool = self.own(concurrent.futures.ThreadPoolExecutor(8), "shutdown")
        started: list = []

        def start(index: int):
            address = f"10.66.1.{index + 1}/32"
            if index % 10 == 0:
                mine = section("Interface", PrivateKey=keys[index].private, Address=address, Table="off", Threads=1)
                mine += section("Peer", PublicKey=server_keys.public, AllowedIPs="10.66.0.1/32", Endpoint=f"{SERVER}:{bond.PORT}")
                started.append(BondEnd(network.client, mine))
            else:
                peer = {"public": server_keys.public, "allowed": "10.66.0.1/32", "endpoint": f"{SERVER}:{bond.PORT}"}
                started.append(WireGuardEnd(network.client, keys[index], [address], [peer]))

        self.addCleanup(lambda: list(pool.map(lambda end: end.stop(), started)))
        list(pool.map(start, range(self.COUNT)))
        ends = list(started)
        began = time.monotonic()
        pings = [network.client.start([tool("ping"), "-c", "5", "-i", "0.5", "-W", "2", "-I", end.name, "10.66.0.1"]) for end in ends]
        try:
            failed = [ends[index].name for index, process in enumerate(pings) if process.wait(15) != 0]
        finally:
            for process in pings:
                process.kill()
        self.assertEqual(failed, [])
        print(f"a hundred peers answered within {time.monotonic() - began:.1f} s")
        status = server.status()
        self.assertEqual(sum(1 for peer in status["peers"] if peer["last_handshake_s"] is not None), self.COUNT)
        self.assertEqual(sum(1 for peer in status["peers"] if peer["kind"] == "causeway"), self.COUNT // 10)
        self.assertLess(resident_bytes(server.pids), 400 * MIB)
