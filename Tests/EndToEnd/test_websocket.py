"""WebSockets through a tunnel: after the 101 bytes pass unaltered (RFC 6455)."""

import os
import socket
import time

from harness import websocket
from harness.cases import StandCase
from harness.causeway import connect
from harness.http import Visitor, raw
from harness.origin import body_of
from harness.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket


class Messages(StandCase):
    def open(self, path="/ws", fields=()) -> WebSocket:
        connection = self.own(connect(self.port), "close")
        return WebSocket(connection, self.host, path, fields)

    def test_messages_of_any_size_come_back(self):
        client = self.open()
        for size in (0, 1, 125, 126, 127, 65535, 65536, 65537, 1 << 20, 8 << 20):
            payload = os.urandom(size)
            client.send(payload)
            self.assertEqual(client.receive(), (BINARY, payload), size)

    def test_fragments_stay_fragments_and_pings_pass_between(self):
        client = self.open()
        client.send("grü".encode()[:3], TEXT, final=False)
        client.send(b"ping", PING)
        client.send("grü".encode()[3:] + b"sse", CONTINUATION)
        got = [client.receive_frame()[:3] for _ in range(3)]
        self.assertEqual(got, [(TEXT, b"gr\xc3", False), (PONG, b"ping", True), (CONTINUATION, b"\xbcsse", True)])

    def test_close_codes_pass(self):
        for payload in (b"", b"\x03\xe8", b"\x0b\xb8reason", b"\x13\x87" + b"x" * 121):
            client = self.open()
            client.send(payload, CLOSE)
            self.assertEqual(client.receive(), (CLOSE, payload))
            self.assertIsNone(client.receive_frame())

    def test_the_origin_may_speak_first(self):
        client = self.open("/ws/first")
        self.assertEqual(client.receive(), (TEXT, b"hello first"))

    def test_bytes_behind_the_request_belong_to_the_websocket(self):
        request, _ = websocket.handshake(self.host)
        with connect(self.port) as connection:
            connection.sendall(request + websocket.frame(TEXT, b"early"))
            got = b""
            while not got.endswith(websocket.frame(TEXT, b"early", mask=False)):
                data = connection.recv(4096)
                self.assertTrue(data, got)
                got += data

    def test_bytes_after_the_101_are_unaltered(self):
        """Not even valid frames: the relay has no business with them."""
        request, _ = websocket.handshake(self.host, "/ws/raw")
        payload = bytes(range(256)) * 4000
        with connect(self.port) as connection:
            connection.sendall(request)
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(4096)
            got = head.partition(b"\r\n\r\n")[2]
            connection.sendall(payload)
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65536):
                got += data
        self.assertTrue(got == payload, f"{len(got)} of {len(payload)} bytes, or other ones")

    def test_single_bytes_pass_at_once(self):
        client = self.open()
        started, late = time.monotonic(), []
        for index in range(50):
            sent = time.monotonic()
            client.send(bytes([index]))
            self.assertEqual(client.receive(), (BINARY, bytes([index])))
            late.append(time.monotonic() - sent)
            time.sleep(0.01)
        self.assertLess(sorted(late)[25], 0.03)
        self.assertLess(time.monotonic() - started, 5)

    def test_fields_of_the_handshake_pass_both_ways(self):
        fields = ["Sec-WebSocket-Protocol: chat, superchat", "Sec-WebSocket-Extensions: permessage-deflate", "Origin: https://o.example", "Cookie: a=b"]
        client = self.open(fields=fields)
        self.assertRegex(client.head, "(?i)sec-websocket-protocol: chat\r?")
        got = {n.lower(): v for n, v in self.origin.seen[-1].fields}
        self.assertEqual(got["sec-websocket-extensions"], "permessage-deflate")
        self.assertEqual((got["origin"], got["cookie"], got["sec-websocket-version"]), ("https://o.example", "a=b", "13"))
        self.assertEqual((got["upgrade"].lower(), "upgrade" in got["connection"].lower()), ("websocket", True))

    def test_a_refusal_stays_http(self):
        with Visitor(self.port, self.host) as visitor:
            visitor.send(websocket.handshake(self.host, "/ws/reject")[0])
            answer = visitor.response()
            self.assertEqual((answer.status, answer.body), (403, b"no websocket here"))
            visitor.request("GET", "/bytes/5")
            self.assertEqual(visitor.response().body, body_of(5))

    def test_an_upgrade_without_connection_is_plain_http(self):
        with Visitor(self.port, self.host) as visitor:
            visitor.request("GET", "/echo", [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")])
            answer = visitor.response()
            self.assertIn(answer.status, (200, 400))
            if answer.status == 200:
                self.assertNotIn("upgrade", [n.lower() for n, _ in answer.json()["fields"]])

    def test_an_old_version_is_426_and_no_second_request_passes(self):
        request = websocket.handshake(self.host)[0].replace(b"Version: 13", b"Version: 12")
        answer = raw(self.port, request + f"GET /old-version-second HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode(), 2)
        self.assertIn(b" 426 ", answer[:20])
        self.assertRegex(answer, rb"(?i)sec-websocket-version: *13")

    def test_many_at_once(self):
        clients = [self.open() for _ in range(100)]
        for index, client in enumerate(clients):
            client.send(b"%d" % index)
        for index, client in enumerate(clients):
            self.assertEqual(client.receive(), (BINARY, b"%d" % index))
