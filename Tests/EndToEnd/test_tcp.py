"""TCP through a tunnel: byte-exact, half-closes both ways, ends that mean something."""

import hashlib
import os
import socket
import struct
import threading
import time

from harness.cases import Case
from harness.causeway import Client, Relay, connect
from harness.origin import TCPService, body_of, hash_of, pages_of
from harness.processes import free_port, wait_for

MIB = 1 << 20


def receive_all(connection) -> bytes:
    parts = []
    while data := connection.recv(262144):
        parts.append(data)
    return b"".join(parts)


class TCPCase(Case):
    @classmethod
    def prepare(cls):
        cls.relay = cls.keep(Relay(), "stop")
        cls.token = cls.relay.account()

    def tunnel(self, kind: str, **options) -> tuple[TCPService, Client]:
        service = self.own(TCPService(kind, **options), "close")
        return service, self.client(service.port)

    def client(self, port) -> Client:
        client = self.own(Client("tcp", port, server=self.relay.url, token=self.token), "stop")
        self.assertRegex(client.url, r"^tcp://localhost:\d+$")
        return client


class Streams(TCPCase):
    def test_the_port_is_in_the_range(self):
        for options, ports in (({"tcp_ports": None}, range(20000, 21000)), ({}, None)):
            relay = self.own(Relay(**options), "stop")
            if ports is None:
                first, last = map(int, relay.options[relay.options.index("--tcp-ports") + 1].split("-"))
                ports = range(first, last + 1)
            client = self.own(Client("tcp", 9, server=relay.url, token=relay.account()), "stop")
            self.assertIn(client.port, ports)

    def test_a_wanted_port_is_given_or_refused(self):
        relay = self.own(Relay(), "stop")  # its own: others' random ports would be in the way
        token = relay.account()
        first = int(relay.options[relay.options.index("--tcp-ports") + 1].split("-")[0])
        service = self.own(TCPService("source", count=3), "close")
        client = self.own(Client("tcp", service.port, "--remote-port", first + 7, server=relay.url, token=token), "stop")
        self.assertEqual(client.port, first + 7)
        with connect(first + 7) as connection:
            self.assertEqual(connection.recv(3), body_of(3))
        refused = self.own(Client("tcp", 9, "--remote-port", 1023, server=relay.url, token=token, ready=False), "stop")
        self.assertIn(refused.process.wait(10), (2, 69))

    def test_bytes_come_back_as_they_went(self):
        _, client = self.tunnel("echo")
        with connect(client.port, seconds=30) as connection:
            sender = threading.Thread(target=lambda: [connection.sendall(p) for p in pages_of(32 * MIB)])
            sender.start()
            digest, count = hashlib.sha256(), 0
            while count < 32 * MIB:
                data = connection.recv(262144)
                self.assertTrue(data, f"ended after {count}")
                digest.update(data)
                count += len(data)
            sender.join()
        self.assertEqual(digest.hexdigest(), hash_of(32 * MIB))

    def test_the_answer_comes_after_the_visitors_half_close(self):
        _, client = self.tunnel("sink")
        for count in (0, 1, 3 * MIB):
            with self.subTest(count=count), connect(client.port) as connection:
                connection.sendall(body_of(count))
                connection.shutdown(socket.SHUT_WR)
                self.assertEqual(receive_all(connection).decode(), f"{count} {hash_of(count)}\n")

    def test_the_visitor_may_send_after_the_services_half_close(self):
        service, client = self.tunnel("source", count=2 * MIB)
        with connect(client.port) as connection:
            self.assertTrue(receive_all(connection) == body_of(2 * MIB))
            connection.sendall(b"still here")
            connection.shutdown(socket.SHUT_WR)
            wait_for(lambda: service.received == [b"still here"], 5, "the visitor's last words")

    def test_the_service_may_speak_first(self):
        _, client = self.tunnel("source", count=5)
        with connect(client.port) as connection:
            self.assertEqual(connection.recv(5), body_of(5))

    def test_single_bytes_pass_at_once(self):
        _, client = self.tunnel("echo")
        late = []
        with connect(client.port) as connection:
            for byte in body_of(100):
                sent = time.monotonic()
                connection.sendall(bytes([byte]))
                self.assertEqual(connection.recv(10), bytes([byte]))
                late.append(time.monotonic() - sent)
                time.sleep(0.01)
        self.assertLess(sorted(late)[50], 0.03)

    def test_a_reset_stays_a_reset(self):
        service, client = self.tunnel("echo")
        connection = connect(client.port)
        connection.sendall(b"x")
        self.assertEqual(connection.recv(1), b"x")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        wait_for(lambda: service.resets == 1, 5, "the reset at the service")

    def test_many_at_once(self):
        _, client = self.tunnel("echo")
        connections = [self.own(connect(client.port), "close") for _ in range(200)]
        payloads = [os.urandom(1000) for _ in connections]
        for connection, payload in zip(connections, payloads):
            connection.sendall(payload)
        for connection, payload in zip(connections, payloads):
            got = b""
            while len(got) < 1000:
                data = connection.recv(1000)
                self.assertTrue(data)
                got += data
            self.assertEqual(got, payload)

    def test_a_closed_local_port_cuts_and_heals(self):
        port = free_port()
        client = self.client(port)
        with connect(client.port) as connection:
            try:
                self.assertEqual(connection.recv(1), b"")
            except ConnectionResetError:
                pass
        self.own(TCPService("source", count=3, port=port), "close")
        with connect(client.port) as connection:
            self.assertEqual(connection.recv(3), body_of(3))

    def test_the_port_closes_with_the_client(self):
        _, client = self.tunnel("echo")
        port = client.port
        client.process.stop()

        def gone():
            try:
                with connect(port, seconds=1) as connection:
                    return connection.recv(1) == b""
            except OSError:
                return True

        wait_for(gone, 5, "the end of the port's service")
