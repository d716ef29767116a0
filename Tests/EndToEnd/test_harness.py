"""The harness tests itself: visitor, origin, proxy and WebSocket against each other and against nginx and curl."""

import hashlib
import json
import os
import pathlib
import re
import socket
import time

from harness import websocket
from harness.cases import Case
from harness.causeway import Client, Relay, address_of, connect
from harness.http import Closed, Visitor, fetch, raw
from harness.origin import HOSTILE, Origin, TCPService, body_of, hash_of
from harness.peers import ConnectProxy, Namespace, Nginx
from harness.processes import REPOSITORY, Process, Scratch, cpu_seconds, family, proportional_bytes, run, tool, wait_for
from harness.proxy import Proxy

HERE = pathlib.Path(__file__).resolve().parent


class VisitorAndOrigin(Case):
    needs = ("nginx", "curl")

    @classmethod
    def prepare(cls):
        cls.origin = cls.keep(Origin(), "close")
        cls.nginx = cls.keep(Nginx(cls.origin.port), "stop")
        cls.ways = {"direct": cls.origin.port, "nginx": cls.nginx.port}

    def each_way(self):
        for name, port in self.ways.items():
            with self.subTest(way=name):
                yield port

    def test_bodies_arrive_whole_in_every_framing(self):
        for port in self.each_way():
            for target, count in (("/bytes/0", 0), ("/bytes/1", 1), ("/bytes/200001", 200001), ("/chunked/200001?size=777", 200001), ("/untilclose/70000", 70000)):
                answer = fetch(port, "x", target)
                self.assertEqual((answer.status, answer.complete, answer.body == body_of(count)), (200, True, True), target)

    def test_uploads_are_hashed(self):
        for port in self.each_way():
            body = body_of(300_000)
            answer = fetch(port, "x", "/hash", method="POST", body=body)
            self.assertEqual(answer.json()["sha256"], hash_of(300_000))
            self.assertEqual(answer.json()["sha256"], hashlib.sha256(body).hexdigest())

    def test_truncation_is_told_from_an_end(self):
        for port in self.each_way():
            for kind in ("length", "chunked"):
                answer = fetch(port, "x", f"/die/5000?as={kind}")
                self.assertFalse(answer.complete, kind)
                self.assertEqual(answer.body, body_of(5000))

    def test_reset_is_seen(self):
        answer = fetch(self.origin.port, "x", "/die/5000?as=close&by=rst")
        self.assertEqual((answer.complete, answer.reset), (False, True))

    def test_head_and_empty_statuses_have_no_body(self):
        for port in self.each_way():
            with Visitor(port, "x") as visitor:
                for method, target, status in (("HEAD", "/bytes/1000", 200), ("GET", "/status/204", 204), ("GET", "/status/304", 304), ("GET", "/status/200", 200)):
                    visitor.request(method, target)
                    answer = visitor.response(method)
                    self.assertEqual((answer.status, answer.complete), (status, True))

    def test_interim_answers_and_trailers_are_kept(self):
        answer = fetch(self.origin.port, "x", "/hints/2")
        self.assertEqual([i.status for i in answer.interim], [103, 103])
        self.assertEqual(fetch(self.origin.port, "x", "/trailers").trailers, [("X-Checksum", "1234"), ("X-Last", "yes")])

    def test_curl_agrees(self):
        url = f"http://127.0.0.1:{self.origin.port}"
        code, output, _ = run([tool("curl"), "-s", f"{url}/chunked/100000?size=999"], seconds=20)
        self.assertEqual(code, 0)
        code, output, _ = run([tool("curl"), "-s", "-T", str(HERE / "run.py"), f"{url}/hash"])
        self.assertEqual(json.loads(output)["sha256"], hashlib.sha256((HERE / "run.py").read_bytes()).hexdigest())
        code, _, _ = run([tool("curl"), "-s", "-o", "/dev/null", f"{url}/die/10"])
        self.assertEqual(code, 18, "curl's word for a partial file")

    def test_events_come_one_by_one(self):
        for port in self.each_way():
            started = time.monotonic()
            with Visitor(port, "x") as visitor:
                visitor.request("GET", "/sse/3?every=100")
                visitor.head()
                self.assertIsNotNone(visitor.line())
                self.assertLess(time.monotonic() - started, 0.25)

    def test_hostile_answers_are_sent_as_they_stand(self):
        for name, expected in HOSTILE.items():
            got = raw(self.origin.port, f"GET /hostile/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 2)
            self.assertEqual(got, expected, name)

    def test_a_close_before_the_head_is_not_an_answer(self):
        with Visitor(self.origin.port, "x") as visitor:
            visitor.request("GET", "/hostile/nothing")
            self.assertRaises(Closed, visitor.response)

    def test_nothing_is_seen_of_what_was_not_sent(self):
        fetch(self.origin.port, "x", "/echo?mark-one")
        self.assertEqual((len(self.origin.saw("mark-one")), len(self.origin.saw("mark-two"))), (1, 0))


class WebSockets(Case):
    needs = ("nginx",)

    @classmethod
    def prepare(cls):
        cls.origin = cls.keep(Origin(), "close")
        cls.nginx = cls.keep(Nginx(cls.origin.port), "stop")

    def test_the_accept_value_of_the_standard(self):
        self.assertEqual(websocket.accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")

    def test_frames_come_back_from_their_bytes(self):
        for size in (0, 1, 125, 126, 65535, 65536):
            for mask in (True, False):
                payload = os.urandom(size)
                frames = websocket.Frames()
                data = websocket.frame(websocket.BINARY, payload, mask=mask)
                for byte in data[:16]:
                    frames.feed(bytes([byte]))
                frames.feed(data[16:])
                self.assertEqual(frames.next(), (websocket.BINARY, payload, True, mask))
                self.assertIsNone(frames.next())

    def test_echo_through_nginx(self):
        with connect(self.nginx.port) as connection:
            client = websocket.WebSocket(connection, "x")
            for size in (0, 125, 126, 70_000, 1 << 20):
                payload = os.urandom(size)
                client.send(payload)
                self.assertEqual(client.receive(), (websocket.BINARY, payload))

    def test_upgrades_can_be_limited_to_websocket(self):
        limited = self.own(Nginx(self.origin.port, upgrade="websocket"), "stop")
        answer = raw(limited.port, b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: causeway/3\r\nConnection: upgrade\r\n\r\n", 2)
        self.assertIn(b" 400 ", answer.split(b"\r\n")[0])
        with connect(limited.port) as connection:
            websocket.WebSocket(connection, "x")


class Wires(Case):
    needs = ()

    def test_cut_by_rst_is_seen_at_both_ends(self):
        service = self.own(TCPService("echo"), "close")
        proxy = self.own(Proxy(service.port), "close")
        with connect(proxy.port) as connection:
            connection.sendall(b"x")
            self.assertEqual(connection.recv(1), b"x")
            self.assertEqual(proxy.cut(), 1)
            self.assertRaises(ConnectionResetError, connection.recv, 1)
        wait_for(lambda: service.resets == 1, 2, "the service's reset")

    def test_cut_by_fin_is_an_end(self):
        service = self.own(TCPService("echo"), "close")
        proxy = self.own(Proxy(service.port), "close")
        with connect(proxy.port) as connection:
            connection.sendall(b"x")
            connection.recv(1)
            proxy.cut(reset=False)
            self.assertEqual(connection.recv(1), b"")

    def test_frozen_bytes_wait_and_none_is_lost(self):
        service = self.own(TCPService("echo"), "close")
        proxy = self.own(Proxy(service.port), "close")
        with connect(proxy.port, seconds=0.3) as connection:
            connection.sendall(b"a")
            connection.recv(1)
            proxy.freeze()
            connection.sendall(b"b")
            self.assertRaises(TimeoutError, connection.recv, 1)
            proxy.thaw()
            self.assertEqual(connection.recv(1), b"b")

    def test_half_close_passes_the_proxy(self):
        service = self.own(TCPService("sink"), "close")
        proxy = self.own(Proxy(service.port), "close")
        with connect(proxy.port) as connection:
            connection.sendall(body_of(200_000))
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(connection.recv(200).split()[0], b"200000")

    def test_limits_slow_down(self):
        service = self.own(TCPService("source", count=300_000), "close")
        proxy = self.own(Proxy(service.port), "close")
        proxy.bytes_per_second = 1_000_000
        started = time.monotonic()
        with connect(proxy.port) as connection:
            data = b""
            while more := connection.recv(65536):
                data += more
        self.assertEqual(data, body_of(300_000))
        self.assertGreater(time.monotonic() - started, 0.25)

    def test_bytes_are_counted_and_waited_for(self):
        service = self.own(TCPService("echo"), "close")
        proxy = self.own(Proxy(service.port), "close")
        passed = proxy.passed(1000)
        with connect(proxy.port) as connection:
            connection.sendall(bytes(999))
            self.assertFalse(passed.wait(0.1))
            connection.sendall(bytes(1))
            self.assertTrue(passed.wait(2))

    def test_connect_proxies_connect_and_nothing_else(self):
        service = self.own(TCPService("echo"), "close")
        proxy = self.own(ConnectProxy(require="dTpw"), "close")
        request = f"CONNECT 127.0.0.1:{service.port} HTTP/1.1\r\nHost: x\r\n"
        self.assertIn(b" 407 ", raw(proxy.port, f"{request}\r\n".encode(), 1))
        self.assertIn(b" 405 ", raw(proxy.port, b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 1))
        with connect(proxy.port) as connection:
            connection.sendall(f"{request}Proxy-Authorization: Basic dTpw\r\n\r\nhello".encode())
            got = b""
            while not got.endswith(b"hello"):
                got += connection.recv(100)
            self.assertTrue(got.startswith(b"HTTP/1.1 200 "))


class Namespaces(Case):
    needs = ("root", "ip")

    def test_two_sides_reach_each_other_and_nothing_else(self):
        namespace = self.own(Namespace(), "remove")
        service = self.own(TCPService("source", count=10, host=namespace.outside), "close")
        code = f"import socket; print(socket.create_connection(('{namespace.outside}', {service.port}), 2).recv(10).hex())"
        _, output, errors = run(["python3", "-c", code], prefix=namespace.prefix)
        self.assertEqual(output, body_of(10).hex(), errors)
        code = "import socket\ntry: socket.create_connection(('192.0.2.1', 80), 2)\nexcept OSError: print('unreachable')"
        self.assertEqual(run(["python3", "-c", code], prefix=namespace.prefix)[1], "unreachable")


class Processes(Case):
    needs = ()

    def test_lines_and_events_are_waited_for(self):
        script = """import json, time; print(json.dumps({"event": "ready", "n": 1}), flush=True); time.sleep(.2); print("late", flush=True); time.sleep(9)"""
        process = self.own(Process(["python3", "-c", script]), "kill")
        self.assertEqual(process.event("ready"), {"event": "ready", "n": 1})
        self.assertEqual(process.line(1), "late")
        self.assertRaises(AssertionError, process.line, 2, 0.2)

    def test_an_ended_process_fails_the_wait_at_once(self):
        process = self.own(Process(["python3", "-c", "import sys; sys.exit('sorry')"]), "kill")
        started = time.monotonic()
        with self.assertRaisesRegex(AssertionError, "sorry"):
            process.line(0, 20)
        self.assertLess(time.monotonic() - started, 10)

    def test_what_it_leaves_behind_ends_with_it(self):
        process = Process(["sh", "-c", "sleep 60 & echo $!; wait"])
        child = int(process.line())
        self.assertIn(child, family(process.pid))
        process.stop()
        wait_for(lambda: not os.path.exists(f"/proc/{child}"), 2, "the end of the grandchild")

    def test_proxy_and_token_variables_are_not_inherited(self):
        os.environ["HTTPS_PROXY"] = "http://x"
        os.environ["CAUSEWAY_TOKEN"] = "secret"
        try:
            output = run(["env"])[1]
        finally:
            del os.environ["HTTPS_PROXY"], os.environ["CAUSEWAY_TOKEN"]
        self.assertNotRegex(output, "(?m)^(HTTPS_PROXY|CAUSEWAY_TOKEN)=")

    def test_time_and_memory_are_measured(self):
        process = self.own(Process(["python3", "-c", "b = bytearray(50 << 20); x = 0\nfor i in range(3_000_000): x += i\nprint('done', flush=True)\nimport time; time.sleep(60)"]), "kill")
        process.line(0, 20)
        self.assertGreater(cpu_seconds([process.pid]), 0.05)
        self.assertGreater(proportional_bytes([process.pid]), 50 << 20)

    def test_addresses_of_urls(self):
        for url, expected in (("http://a.localhost:81", ("a.localhost", 81)), ("https://x", ("x", 443)), ("tcp://localhost:20001", ("localhost", 20001)), ("http://[::1]:5/", ("::1", 5))):
            self.assertEqual(address_of(url), expected)
        self.assertRaises(ValueError, address_of, "x:1")


class StandIn(Case):
    """Relay and client of the harness, and the whole demo, against the stand-in."""

    needs = ()

    @classmethod
    def prepare(cls):
        before = os.environ.get("CAUSEWAY_BIN")
        os.environ["CAUSEWAY_BIN"] = str(HERE / "standin.py")
        cls.addClassCleanup(lambda: os.environ.__setitem__("CAUSEWAY_BIN", before) if before else os.environ.pop("CAUSEWAY_BIN"))

    def test_a_relay_comes_back_on_its_port(self):
        relay = self.own(Relay(), "stop")
        token = relay.account()
        origin = self.own(Origin(), "close")
        client = self.own(Client("http", origin.port, server=relay.url, token=token), "stop")
        relay.process.kill()
        port = relay.port
        relay.restart()
        self.assertEqual(relay.port, port)
        self.assertEqual(client.process.event("resumed", 5)["url"], client.url)
        self.assertEqual(fetch(port, client.host, "/").status, 200)

    def test_the_demo_passes_and_leaves_nothing(self):
        code, output, errors = run(["python3", REPOSITORY / "scripts" / "demo.py"], env={"CAUSEWAY_BIN": str(HERE / "standin.py")}, seconds=60)
        self.assertEqual(code, 0, output + errors)
        self.assertEqual(len(re.findall(r"(?m)^  ok ", output)), 11, output)

    def test_the_demo_fails_with_expected_and_got(self):
        folder = self.own(Scratch("causeway-demo"), "remove")
        broken = folder / "causeway"
        source = (HERE / "standin.py").read_text()
        broken.write_text(source.replace("far[1].write(head)", "far[1].write(head.replace(b'/bytes/', b'/status/404?', 1))"))
        broken.chmod(0o755)
        code, output, _ = run(["python3", REPOSITORY / "scripts" / "demo.py"], env={"CAUSEWAY_BIN": str(broken)}, seconds=60)
        self.assertEqual(code, 1, output)
        self.assertRegex(output, r"FAIL a download through a cut\n +expected: .*\n +got: ")
