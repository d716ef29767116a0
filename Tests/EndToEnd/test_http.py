"""HTTP/1.1 through a tunnel, seen by a visitor and by an origin that hide nothing (RFC 9110, 9112)."""

import base64
import contextlib
import re
import socket
import threading
import time

from harness.cases import StandCase
from harness.causeway import Client, Relay, connect
from harness.http import Closed, Visitor, fetch, raw
from harness.origin import HOSTILE, Origin, body_of, hash_of, pages_of
from harness.processes import free_port, wait_for

MIB = 1 << 20


class Bodies(StandCase):
    def test_bodies_of_any_size_and_framing_arrive_whole(self):
        for target, count in (
            ("/bytes/0", 0), ("/bytes/1", 1), ("/bytes/16384", 16384), ("/bytes/65537", 65537), ("/bytes/10485760", 10 * MIB),
            ("/chunked/0", 0), ("/chunked/200001?size=1", 200001), ("/chunked/200001?size=777", 200001), ("/chunked/10485760", 10 * MIB),
            ("/untilclose/0", 0), ("/untilclose/70000", 70000), ("/untilclose/5242880", 5 * MIB),
        ):  # fmt: skip
            with self.subTest(target=target):
                answer = self.fetch(target, seconds=30)
                self.assertEqual((answer.status, answer.complete, len(answer.body)), (200, True, count))
                self.assertTrue(answer.body == body_of(count), "the bytes differ")

    def test_a_known_length_stays_known(self):
        answer = self.fetch("/bytes/1000")
        self.assertEqual((answer.framing, answer.value("content-length")), ("length", "1000"))
        self.assertIsNone(answer.value("transfer-encoding"))

    def test_head_204_and_304_carry_no_body_and_keep_the_connection(self):
        visitor = self.visitor()
        for method, target, status, length in (("HEAD", "/bytes/1000", 200, "1000"), ("GET", "/status/304", 304, "1234"), ("GET", "/status/204", 204, None)):
            with self.subTest(method=method, target=target):
                visitor.request(method, target)
                answer = visitor.response(method)
                self.assertEqual((answer.status, answer.value("content-length")), (status, length))
                visitor.request("GET", "/bytes/5")
                self.assertEqual(visitor.response().body, body_of(5))

    def test_uploads_of_any_framing_arrive_whole(self):
        for count in (0, 1, 65537, 8 * MIB):
            for chunk in (None, 1000, 100_000):
                if count > MIB and chunk == 1000:
                    continue
                with self.subTest(count=count, chunk=chunk):
                    body = body_of(count)
                    if chunk is None:
                        answer = self.fetch("/hash", method="POST", body=body)
                    else:
                        pieces = [body[i : i + chunk] for i in range(0, count, chunk)]
                        coded = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
                        answer = self.fetch("/hash", method="POST", fields=[("Transfer-Encoding", "chunked")], body=coded)
                    self.assertEqual((answer.json()["bytes"], answer.json()["sha256"]), (count, hash_of(count)))

    def test_100_mib_each_way(self):
        size = 100 * MIB
        with Visitor(self.port, self.host, seconds=60) as visitor:
            visitor.request("PUT", "/hash", [("Content-Length", size)])
            for piece in pages_of(size):
                visitor.send(piece)
            self.assertEqual(visitor.response().json()["sha256"], hash_of(size))
            visitor.request("GET", f"/bytes/{size}")
            answer = visitor.response()
            self.assertEqual((answer.complete, answer.body == body_of(size)), (True, True))

    def test_trailers_pass_down(self):
        visitor = self.visitor()
        visitor.request("GET", "/trailers", [("TE", "trailers")])
        answer = visitor.response()
        self.assertEqual((answer.body, answer.complete), (b"body with trailers", True))
        self.assertEqual(answer.trailers, [("X-Checksum", "1234"), ("X-Last", "yes")])

    def test_trailers_that_would_frame_or_route_are_dropped(self):
        answer = self.fetch("/trailers?bad=1", fields=[("TE", "trailers")])
        self.assertEqual([n.lower() for n, _ in answer.trailers], ["x-checksum", "x-last"])

    def test_trailers_pass_up(self):
        coded = b"5\r\nhello\r\n0\r\nX-Sum: 42\r\nContent-Length: 9\r\nAuthorization: x\r\n\r\n"
        answer = self.fetch("/hash", method="POST", fields=[("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")], body=coded)
        self.assertEqual(answer.json()["trailers"], [["X-Sum", "42"]])

    def test_single_bytes_come_as_they_are_sent(self):
        visitor = self.visitor()
        visitor.request("GET", "/slow/100?every=10")
        visitor.head()
        times = []
        while len(times) < 100:
            self.assertTrue(visitor.exactly(1))
            times.append(time.monotonic())
        gaps = sorted(b - a for a, b in zip(times, times[1:]))
        self.assertLess(gaps[len(gaps) // 2], 0.05, "single bytes were collected")
        self.assertGreater(times[-1] - times[0], 0.5)

    def test_single_bytes_go_up_as_they_are_sent(self):
        visitor = self.visitor()
        visitor.request("POST", "/hash", [("Content-Length", 50)])
        for byte in body_of(50):
            visitor.send(bytes([byte]))
            time.sleep(0.01)
        self.assertEqual(visitor.response().json()["sha256"], hash_of(50))

    def test_events_arrive_as_they_are_sent(self):
        visitor = self.visitor()
        visitor.request("GET", "/sse/10?every=50")
        self.assertEqual(visitor.head().value("content-type"), "text/event-stream")
        text, late = b"", []
        while len(late) < 10:
            text += visitor.exactly(int(visitor.line(), 16))
            visitor.line()
            while b"\n\n" in text:
                event, _, text = text.partition(b"\n\n")
                late.append(time.monotonic() - float(event.split(b"data: ")[1]))
        self.assertLess(sorted(late)[5], 0.02)
        self.assertLess(max(late), 0.1)


class Ends(StandCase):
    """Where messages and connections end, well or badly."""

    def test_truncation_stays_visible(self):
        for kind, by in (("length", "fin"), ("length", "rst"), ("chunked", "fin"), ("chunked", "rst"), ("close", "rst")):
            for count in (0, 1000, 500_000):
                with self.subTest(kind=kind, by=by, count=count):
                    try:
                        answer = self.fetch(f"/die/{count}?as={kind}&by={by}")
                    except Closed:
                        continue
                    if answer.status == 502:  # the relay may still have held the head back
                        self.assertEqual(count, 0)
                        continue
                    self.assertFalse(answer.complete, f"a truncated body looks whole: {answer.framing} {len(answer.body)}")
                    self.assertTrue(body_of(count).startswith(answer.body))

    def test_pipelined_requests_are_answered_in_order(self):
        visitor = self.visitor()
        sizes = [(i * 7919) % 30000 for i in range(40)]
        visitor.send(b"".join(f"GET /bytes/{size} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode() for size in sizes))
        for size in sizes:
            self.assertEqual(len(visitor.response().body), size)

    def test_pipelined_posts_keep_their_bodies_apart(self):
        visitor = self.visitor()
        bodies = [body_of(n) for n in (0, 1, 5000, 3)]
        for body in bodies:
            visitor.request("POST", "/echo", body=body)
        for body in bodies:
            self.assertEqual(base64.b64decode(visitor.response().json()["body"]), body)

    def test_a_connection_lives_through_many_requests(self):
        visitor = self.visitor()
        for index in range(200):
            visitor.request("GET", f"/bytes/{index}")
            self.assertEqual(len(visitor.response().body), index)

    def test_connection_close_is_obeyed_and_said(self):
        visitor = self.visitor()
        visitor.request("GET", "/bytes/5", [("Connection", "close")])
        self.assertIn("close", visitor.response().value("connection").lower())
        self.assertTrue(visitor.at_end())

    def test_visitors_of_http_1_0(self):
        for target in ("/bytes/1000", "/chunked/1000", "/untilclose/1000", "/hints/2", "/trailers"):
            with self.subTest(target=target), Visitor(self.port, self.host) as visitor:
                visitor.request("GET", target, version="HTTP/1.0")
                answer = visitor.response()
                self.assertEqual((answer.status, answer.interim, answer.value("transfer-encoding")), (200, [], None))
                self.assertTrue(answer.complete and visitor.at_end())
                self.assertNotIn("keep-alive", (answer.value("connection") or "").lower())

    def test_http_1_0_keeps_alive_when_asked(self):
        visitor = self.visitor()
        for _ in range(3):
            visitor.request("GET", "/bytes/10", [("Connection", "keep-alive")], version="HTTP/1.0")
            answer = visitor.response()
            self.assertEqual((answer.body, answer.value("connection").lower()), (body_of(10), "keep-alive"))

    def test_an_early_answer_reaches_a_visitor_who_still_sends(self):
        for attempt in range(5):
            with self.subTest(attempt=attempt), Visitor(self.port, self.host, seconds=10) as visitor:
                visitor.request("POST", "/early/413", [("Content-Length", 50 * MIB)])

                def push():
                    with contextlib.suppress(OSError):  # the other side may stop reading for good
                        for piece in pages_of(50 * MIB):
                            visitor.connection.sendall(piece)

                sender = threading.Thread(target=push)
                sender.start()
                answer = visitor.response()
                self.assertEqual((answer.status, answer.body), (413, b"too much\n"))
                self.assertIn("close", answer.value("connection").lower())
                with contextlib.suppress(OSError):
                    visitor.connection.shutdown(socket.SHUT_RDWR)
                sender.join(10)

    def test_no_early_answer_is_lost_under_load(self):
        """A close with unread input would send RST, which deletes the answer from the visitor's kernel (RFC 9112 section 9.6)."""
        wrong = []

        def upload(size: int):
            try:
                with Visitor(self.port, self.host, seconds=30) as visitor:
                    visitor.request("POST", "/early/413", [("Content-Length", size)])
                    visitor.send(bytes(size))  # all of it before the first look at an answer
                    answer = visitor.response()
                    if (answer.status, answer.body) != (413, b"too much\n"):
                        wrong.append((answer.status, answer.body[:100]))
            except (OSError, Closed) as error:
                wrong.append(repr(error))

        threads = [threading.Thread(target=upload, args=((70_000, 300_000, 2 * MIB, 5 * MIB)[i % 4],)) for i in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(wrong, [])

    def test_bodies_of_any_method_and_end_share_a_connection(self):
        visitor = self.visitor()
        requests = (
            ("HEAD", "/bytes/10", None, 200, 0), ("POST", "/hash", bytes(100_000), 200, None), ("GET", "/status/204", None, 204, 0),
            ("OPTIONS", "/echo", b"GET / HTTP/1.1\r\n\r\n", 200, None), ("GET", "/status/304", None, 304, 0),
            ("GET", "/hostile/not-http", None, 502, None), ("GET", "/chunked/70000", None, 200, 70_000), ("GET", "/bytes/9", None, 200, 9),
        )  # fmt: skip
        for method, target, body, _, _ in requests:
            visitor.request(method, target, body=body)
        for method, target, _, status, count in requests:
            answer = visitor.response(method)
            self.assertEqual((answer.status, answer.complete), (status, True), target)
            if count is not None:
                self.assertEqual(len(answer.body), count, target)

    def test_20_000_pipelined_requests(self):
        visitor = self.visitor(seconds=30)
        request = f"GET /bytes/1 HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode()
        sender = threading.Thread(target=visitor.send, args=(request * 20_000,))
        sender.start()
        for index in range(20_000):
            self.assertEqual(visitor.response().body, body_of(1), index)
        sender.join()

    def test_expect_is_forwarded_and_so_is_the_100(self):
        visitor = self.visitor()
        visitor.request("POST", "/expect/300", [("Expect", "100-continue"), ("Content-Length", 1000)])
        started = time.monotonic()
        interim = visitor.head()
        self.assertEqual(interim.status, 100)
        self.assertGreater(time.monotonic() - started, 0.25, "the 100 is the origin's, not the relay's")
        visitor.send(body_of(1000))
        self.assertEqual(visitor.response().json()["sha256"], hash_of(1000))

    def test_a_final_answer_instead_of_100(self):
        visitor = self.visitor()
        visitor.request("POST", "/early/401", [("Expect", "100-continue"), ("Content-Length", 1000)])
        answer = visitor.response()
        self.assertEqual((answer.status, answer.interim), (401, []))

    def test_an_unknown_expectation_is_417(self):
        visitor = self.visitor()
        visitor.request("POST", "/hash", [("Expect", "miracles")], body=b"x")
        self.assertEqual(visitor.response().status, 417)

    def test_interim_answers_are_forwarded(self):
        answer = self.fetch("/hints/3")
        self.assertEqual([i.status for i in answer.interim], [103, 103, 103])
        self.assertEqual([i.value("link") for i in answer.interim], [f"</style{i}.css>; rel=preload" for i in range(3)])
        self.assertEqual(answer.body, b"after the hints")

    def test_an_origin_that_closes_after_each_answer(self):
        visitor = self.visitor()
        for _ in range(50):
            visitor.request("GET", "/hop")
            self.assertEqual(visitor.response().status, 200)

    def test_a_visitor_who_goes_ends_the_request_at_the_origin(self):
        before = self.origin.gone
        with Visitor(self.port, self.host) as visitor:
            visitor.request("GET", "/hang?visitor-who-goes")
            wait_for(lambda: self.origin.saw("visitor-who-goes"), 5, "the request at the origin")
        wait_for(lambda: self.origin.gone > before, 5, "the origin to see it go")


class Heads(StandCase):
    def echoed(self, fields=(), target="/echo", method="GET", **options) -> dict:
        answer = self.fetch(target, fields=fields, method=method, **options)
        self.assertEqual(answer.status, 200, answer.body[:200])
        return answer.json()

    def values(self, echoed: dict, name: str) -> list[str]:
        return [v for n, v in echoed["fields"] if n.lower() == name.lower()]

    def test_method_target_and_host_arrive_unchanged(self):
        target = "/echo/a%20b/%2e%2e/c?x=1&y=%00&z=ä".encode().decode("latin-1")
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH"):
            got = self.echoed(target=target, method=method)
            self.assertEqual((got["method"], got["target"], got["version"]), (method, target, "HTTP/1.1"))
            self.assertEqual(self.values(got, "host"), [self.host])

    def test_order_and_repetition_are_kept_up(self):
        fields = [("X-B", "1"), ("X-A", "1"), ("x-b", "2"), ("Accept", "a"), ("Accept", "b"), ("Cookie", "a=b; c=d"), ("X-B", "3"), ("X-Empty", "")]
        got = [(n, v) for n, v in self.echoed(fields)["fields"] if n.lower() in ("x-a", "x-b", "accept", "cookie", "x-empty")]
        self.assertEqual([(n.lower(), v) for n, v in got], [(n.lower(), v) for n, v in fields])

    def test_order_and_repetition_are_kept_down(self):
        answer = self.fetch("/cookies")
        self.assertEqual(answer.values("set-cookie"), [f"c{i}=v{i}; Expires=Wed, 21 Oct 2026 07:28:00 GMT" for i in range(5)])
        self.assertEqual(answer.values("x-order"), ["1", "2", "3"])

    def test_hop_by_hop_fields_stop_here_on_the_way_up(self):
        fields = [
            ("Connection", "close, X-Mine, keep-alive"), ("X-Mine", "1"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "x"),
            ("TE", "gzip"), ("Proxy-Authorization", "Basic x"), ("HTTP2-Settings", "AAA"), ("X-Other", "stays"),
        ]  # fmt: skip
        got = {n.lower() for n, _ in self.echoed(fields)["fields"]}
        self.assertFalse(got & {"x-mine", "keep-alive", "proxy-connection", "proxy-authorization", "http2-settings", "te"}, got)
        self.assertIn("x-other", got)

    def test_hop_by_hop_fields_stop_here_on_the_way_down(self):
        visitor = self.visitor()
        visitor.request("GET", "/hop")
        answer = visitor.response()
        got = {n.lower() for n, _ in answer.fields}
        self.assertFalse(got & {"x-private", "keep-alive", "proxy-connection"}, got)
        self.assertEqual(answer.value("x-public"), "stays")
        visitor.request("GET", "/bytes/1")  # the origin's close was between origin and client
        self.assertEqual(visitor.response().status, 200)

    def test_connection_cannot_name_what_protects(self):
        for name, value in (("X-Forwarded-For", "9.9.9.9"), ("Host", None), ("Authorization", "Bearer x"), ("Cookie", "a=b"), ("X-Forwarded-Proto", "https")):
            with self.subTest(name=name), Visitor(self.port, self.host) as visitor:
                visitor.request("GET", "/echo", [("Connection", f"close, {name}")] + ([(name, value)] if value else []))
                answer = visitor.response()
                if answer.status == 400:
                    continue
                got = self.values(answer.json(), name)
                expected = {"X-Forwarded-For": "127.0.0.1", "Host": self.host, "X-Forwarded-Proto": "http"}.get(name, value)
                self.assertEqual(got, [expected])

    def test_forwarded_fields_are_the_relays(self):
        for spoofed in ([], [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "gopher"), ("X-Forwarded-Host", "evil"), ("X-Real-IP", "6.6.6.6")]):
            got = self.echoed(spoofed)
            self.assertEqual(self.values(got, "x-forwarded-for"), ["127.0.0.1"])
            self.assertEqual(self.values(got, "x-forwarded-proto"), ["http"])
            self.assertEqual(self.values(got, "x-forwarded-host"), [self.host])
            self.assertNotIn("6.6.6.6", str(got["fields"]))

    def test_underscores_cannot_shadow_ours(self):
        got = self.echoed([("X_Forwarded_For", "6.6.6.6"), ("X_forwarded-Proto", "x"), ("x_other", "stays")])
        names = [n.lower() for n, _ in got["fields"]]
        self.assertNotIn("x_forwarded_for", names)
        self.assertNotIn("x_forwarded-proto", names)
        self.assertIn("x_other", names)

    def test_the_control_path_belongs_to_the_tunnel_on_its_own_name(self):
        for path in ("/api/v1/ws/tunnel", "/api/v1/ws/tunnel?x", "/api/v1/anything", "/metrics"):
            before = len(self.origin.seen)
            answer = self.fetch(path, fields=[("Upgrade", "causeway/3"), ("Connection", "upgrade")])
            self.assertEqual((answer.status, answer.body), (404, b"no such behaviour\n"), path)
            self.assertEqual(len(self.origin.seen), before + 1)

    def test_the_domain_itself_never_reaches_a_tunnel(self):
        before = len(self.origin.seen)
        for host in (f"localhost:{self.port}", f"127.0.0.1:{self.port}", "localhost", "LOCALHOST.", f"[::1]:{self.port}"):
            answer = fetch(self.port, host, "/echo")
            self.assertIn(answer.status, (200, 404), host)
        self.assertEqual(len(self.origin.seen), before)

    def test_host_is_compared_without_case_port_and_dot(self):
        name = self.client.host
        for host in (name, name.upper(), name + ".", f"{name}:{self.port}", f"{name}:1"):
            self.assertEqual(fetch(self.port, host, "/bytes/1").status, 200, host)

    def test_absolute_targets_name_the_host(self):
        """Where Host says the same or nothing; a Host that differs is refused (`Smuggling`, by the checklist of section 3.5)."""
        for version, host in (("1.1", f"Host: {self.host}\r\n"), ("1.1", f"Host: {self.host.upper()}\r\n"), ("1.0", "")):
            with self.subTest(version=version, host=host):
                answer = raw(self.port, f"GET http://{self.host}/bytes/3 HTTP/{version}\r\n{host}Connection: close\r\n\r\n".encode())
                self.assertTrue(answer.endswith(body_of(3)) and b" 200 " in answer[:20], answer)
        got = raw(self.port, f"GET http://{self.host}?x=1 HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode())
        self.assertIn(b" 200 ", got[:20])
        self.assertEqual(self.origin.seen[-1].target, "/?x=1")

    def test_big_heads_up_to_the_limit(self):
        fields = [(f"X-{i}", "v" * 500) for i in range(50)]
        self.assertEqual(len([1 for n, _ in self.echoed(fields)["fields"] if n.lower().startswith("x-") and n[2:].isdigit()]), 50)
        self.assertEqual(self.fetch("/fields/24").status, 200)

    def test_limits_have_their_own_answers(self):
        for what, fields, target, status in (
            ("a target of 9,000 octets fits", [], "/bytes/1?" + "q" * 9000, 200),
            ("target", [], "/bytes/1?" + "q" * 20_000, 414),
            ("head", [("X-Big", "v" * 40_000)], "/", 431),
            ("fields", [(f"X-{i}", "v") for i in range(150)], "/", 431),
        ):
            with self.subTest(what=what):
                self.assertEqual(self.fetch(target, fields=fields).status, status)

    def test_trace_and_connect_are_refused(self):
        self.assertEqual(self.fetch("/", method="TRACE").status, 405)
        self.assertIn(b" 405 ", raw(self.port, f"CONNECT {self.host} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode(), 2)[:20])

    def test_other_upgrades_stay_http(self):
        for fields in ([("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")], [("Upgrade", "foo/1"), ("Connection", "upgrade")]):
            with Visitor(self.port, self.host) as visitor:
                visitor.request("GET", "/echo", fields)
                answer = visitor.response()
                self.assertIn(answer.status, (200, 400, 501), fields)
                if answer.status == 200:
                    self.assertEqual(self.values(answer.json(), "upgrade"), [])

    def test_a_101_nobody_asked_for_is_502(self):
        self.assertEqual(self.fetch("/upgrade").status, 502)


class HostHeader(StandCase):
    def test_rewrite_sends_the_local_name_and_tells_the_public_one(self):
        client = self.another("http", self.origin.port, "--host-header", "rewrite")
        host = f"{client.host}:{client.port}"
        got = dict((n.lower(), v) for n, v in fetch(self.port, host, "/echo").json()["fields"])
        self.assertIn(got["host"], (f"localhost:{self.origin.port}", f"127.0.0.1:{self.origin.port}"))
        self.assertEqual(got["x-forwarded-host"], host)

    def test_any_name_can_be_sent(self):
        client = self.another("http", self.origin.port, "--host-header", "shop.example")
        got = dict((n.lower(), v) for n, v in fetch(self.port, f"{client.host}:{client.port}", "/echo").json()["fields"])
        self.assertEqual(got["host"], "shop.example")


class TrustedProxy(StandCase):
    relay_options = ("--trusted-proxy", "127.0.0.0/8")

    def test_forwarded_fields_of_a_trusted_proxy_are_kept_and_grown(self):
        fields = [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop.example")]
        got = dict((n.lower(), v) for n, v in self.fetch("/echo", fields=fields).json()["fields"])
        self.assertEqual([a.strip() for a in got["x-forwarded-for"].split(",")][0], "203.0.113.7")
        self.assertEqual((got["x-forwarded-proto"], got["x-forwarded-host"]), ("https", "shop.example"))
        self.assertEqual(got["x-real-ip"], "203.0.113.7")

    def test_the_visitor_is_found_behind_chained_proxies(self):
        fields = [("X-Forwarded-For", "6.6.6.6, 203.0.113.7, 127.0.0.9"), ("X-Real-IP", "6.6.6.6")]
        got = self.fetch("/echo", fields=fields).json()["fields"]
        self.assertEqual([v for n, v in got if n.lower() == "x-real-ip"], ["203.0.113.7"])

    def test_others_are_not_believed(self):
        relay = self.own(Relay("--trusted-proxy", "127.0.0.2/32"), "stop")
        client = self.own(Client("http", self.origin.port, server=relay.url, token=relay.account()), "stop")
        for source, proto, seen in (("127.0.0.1", "http", "127.0.0.1"), ("127.0.0.2", "https", "203.0.113.7")):
            with self.subTest(source=source), Visitor(relay.port, f"{client.host}:{client.port}", source=source) as visitor:
                visitor.request("GET", "/echo", [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https")])
                got = dict((n.lower(), v) for n, v in visitor.response().json()["fields"])
                self.assertEqual((got["x-forwarded-proto"], got["x-real-ip"]), (proto, seen))


class ErrorPages(StandCase):
    def kinds(self, host: str, status: int, word: str):
        for accept, kind, mark in (("text/html,*/*;q=0.8", "text/html", b"<"), ("*/*", "text/plain", b""), ("application/json", "application/json", b"{")):
            with self.subTest(accept=accept):
                answer = fetch(self.port, host, "/x", fields=[("Accept", accept)])
                self.assertEqual(answer.status, status)
                self.assertTrue(answer.value("content-type").startswith(kind), answer.value("content-type"))
                self.assertTrue(answer.body.lstrip().startswith(mark) and answer.complete)
                self.assertRegex(answer.body.decode(), f"(?i){word}")
        head = fetch(self.port, host, "/x", method="HEAD")
        self.assertEqual((head.status, head.body), (status, b""))

    def test_no_such_tunnel_is_404(self):
        self.kinds(f"nobody-has-this.localhost:{self.port}", 404, "tunnel")

    def test_pages_do_not_echo_markup(self):
        answer = fetch(self.port, "localhost", "/<script>alert(1)</script>", fields=[("Accept", "text/html")])
        self.assertNotIn(b"<script>alert", answer.body)

    def test_a_closed_local_service_is_502_and_heals(self):
        port = free_port()
        client = self.another("http", port)
        host = f"{client.host}:{client.port}"
        self.kinds(host, 502, "service|refused|running")
        origin = self.own(Origin(port=port), "close")
        self.assertEqual(fetch(self.port, host, "/bytes/1").status, 200)
        origin.close()

    def test_a_service_that_does_not_answer_the_connect_is_504(self):
        listener = self.own(socket.socket(), "close")
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):  # fill its queue: further SYNs are dropped
            waiting = self.own(socket.socket(), "close")
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        client = self.another("http", f"127.0.0.1:{listener.getsockname()[1]}")
        answer = fetch(self.port, f"{client.host}:{client.port}", "/", fields=[("Accept", "application/json")], seconds=20)
        self.assertEqual((answer.status, answer.json()["error"]["side"]), (504, "the local service"))

    def test_pages_have_a_date(self):
        for host in (self.host, f"nobody-has-this.localhost:{self.port}"):
            answer = fetch(self.port, host, "/status/200")
            self.assertEqual(len(answer.values("date")), 1)
            self.assertRegex(answer.value("date"), r"^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$")

    def test_an_offline_client_is_502(self):
        client = self.another("http", self.origin.port, "--subdomain", "offline")
        client.process.stop()
        wait_for(lambda: fetch(self.port, f"offline.localhost:{self.port}", "/").status == 502, 12, "502 for the offline client")
        self.kinds(f"offline.localhost:{self.port}", 502, "offline|connected|client")

    def test_the_connection_stays_in_step_after_an_error(self):
        with Visitor(self.port, f"nobody-has-this.localhost:{self.port}") as visitor:
            visitor.request("POST", "/", body=b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(visitor.response().status, 404)
            visitor.host = self.host
            try:
                visitor.request("GET", "/bytes/7")
                self.assertEqual(visitor.response().body, body_of(7))
            except (Closed, OSError):
                pass  # closing is the other right answer
        self.assertEqual(self.origin.saw("smuggled"), [])


class Smuggling(StandCase):
    """Each row: refused with 400 and a close (or the status that stands beside it), and the origin sees nothing."""

    POST = "POST /{mark} HTTP/1.1\r\nHost: {host}\r\n"
    GET = "GET /{mark} HTTP/1.1\r\nHost: {host}\r\n"
    SNEAKED = "GET /{mark}-second HTTP/1.1\r\nHost: {host}\r\n\r\n"

    ROWS = [
        ("CL.TE", POST + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX"),
        ("TE.CL", POST + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + SNEAKED + "0\r\n\r\n"),
        ("TE and CL in odd case", POST + "tRANSFER-eNCODING: Chunked\r\ncontent-LENGTH: 4\r\n\r\n0\r\n\r\n"),
        ("xchunked", POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("chunked, identity", POST + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ("identity, chunked", POST + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"),
        ("chunked twice", POST + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        ("two TE lines", POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
        ("vertical tab before chunked", POST + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
        ("quoted chunked", POST + 'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'),
        ("space before the colon of TE", POST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        ("folded TE", POST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
        ("folded unknown field", POST + "X: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
        ("CL +5", POST + "Content-Length: +5\r\n\r\nhello"),
        ("CL -0", POST + "Content-Length: -0\r\n\r\n"),
        ("CL 0x5", POST + "Content-Length: 0x5\r\n\r\nhello"),
        ("CL 5 5", POST + "Content-Length: 5 5\r\n\r\nhello"),
        ("CL 5,5", POST + "Content-Length: 5,5\r\n\r\nhello"),
        ("CL 5, 6", POST + "Content-Length: 5, 6\r\n\r\nhello!"),
        ("CL 1e2", POST + "Content-Length: 1e2\r\n\r\nhello"),
        ("CL empty", POST + "Content-Length: \r\n\r\nhello"),
        ("CL 2^64+5", POST + "Content-Length: 18446744073709551621\r\n\r\nhello"),
        ("two CL lines that differ", POST + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
        ("two CL lines that agree", POST + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        ("CL with underscore", POST + "Content-Length: 1_0\r\n\r\n0123456789"),
        ("bare CR in a field", GET + "X: a\rTransfer-Encoding: chunked\r\n\r\n"),
        ("bare LF line ends", "GET /{mark} HTTP/1.1\nHost: {host}\n\n"),
        ("LF ends one field", GET + "X: a\nY: b\r\n\r\n"),
        ("NUL in a field", GET + "X: a\x00b\r\n\r\n"),
        ("obs-fold in the first field", "GET /{mark} HTTP/1.1\r\n X: a\r\nHost: {host}\r\n\r\n"),
        ("space before a colon", GET + "X-Name : v\r\n\r\n"),
        ("no colon", GET + "nonsense\r\n\r\n"),
        ("name with space", GET + "X Name: v\r\n\r\n"),
        ("empty name", GET + ": v\r\n\r\n"),
        ("name with control byte", GET + "X\x01: v\r\n\r\n"),
        ("two spaces in the request line", "GET  /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ("tab in the request line", "GET\t/{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ("space in the target", "GET /{mark} x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ("fragment", "GET /{mark}#x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ("control byte in the target", "GET /{mark}\x7f HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ("target without slash", "GET {mark} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ("absolute form with another Host", "GET http://{host}/{mark} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("absolute form to another Host", "GET http://localhost/{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ("absolute form with userinfo", "GET http://a@{host}/{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ("asterisk for GET", "GET * HTTP/1.1\r\nHost: {host}\r\nX: {mark}\r\n\r\n"),
        ("no Host", "GET /{mark} HTTP/1.1\r\nX: y\r\n\r\n"),
        ("two Hosts", GET + "Host: {host}\r\n\r\n"),
        ("two Hosts that differ", GET + "Host: other.localhost\r\n\r\n"),
        ("empty Host", "GET /{mark} HTTP/1.1\r\nHost: \r\n\r\n"),
        ("list of Hosts", "GET /{mark} HTTP/1.1\r\nHost: {host}, {host}\r\n\r\n"),
        ("userinfo in Host", "GET /{mark} HTTP/1.1\r\nHost: a@{host}\r\n\r\n"),
        ("port 99999", "GET /{mark} HTTP/1.1\r\nHost: {name}:99999\r\n\r\n"),
        ("IPv6 with zone", "GET /{mark} HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n"),
        ("path in Host", "GET /{mark} HTTP/1.1\r\nHost: {host}/x\r\n\r\n"),
        ("Connection names Content-Length", POST + "Connection: Content-Length\r\nContent-Length: 5\r\n\r\nhello"),
        ("Connection names Transfer-Encoding", POST + "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("HTTP/1.0 with TE", "POST /{mark} HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("HTTP/1.10", "GET /{mark} HTTP/1.10\r\nHost: {host}\r\n\r\n"),
        ("lower-case http", "GET /{mark} http/1.1\r\nHost: {host}\r\n\r\n"),
        ("HTTP/0.9", "GET /{mark}\r\n\r\n"),
        ("Expect with a prefix", POST + "Expect: y 100-continue\r\nContent-Length: 0\r\n\r\n"),
        ("Expect twice", POST + "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n"),
        ("TLS hello on the plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x11" * 64),
    ]  # fmt: skip
    STATUS = {
        "Expect with a prefix": {400, 417}, "Expect twice": {400, 417}, "HTTP/1.10": {400, 505}, "lower-case http": {400, 505},
        "two Hosts that differ": {400},
    }  # fmt: skip
    # May also be closed without a word, as there is no HTTP in it to answer.
    SILENT = {"HTTP/0.9"}
    # May be answered as one harmless request: the strictness that our own contract adds is tested in RelayCore's tables.
    HARMLESS = {"Connection names Content-Length", "Connection names Transfer-Encoding"}

    # Bodies whose chunks lie: the head is fine, so the origin may see the request, but never a second one, nor a whole body.
    CHUNKS = [
        ("size 2^64+1", "10000000000000001\r\nA\r\n0\r\n\r\n"),
        ("size 0x5", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("space before the size", " 5\r\nhello\r\n0\r\n\r\n"),
        ("space after the size", "5 ;a\r\nhello\r\n0\r\n\r\n"),
        ("negative size", "-1\r\nhello\r\n0\r\n\r\n"),
        ("LF ends the size", "5\nhello\r\n0\r\n\r\n"),
        ("CR ends the size", "5\rhello\r\n0\r\n\r\n"),
        ("LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        ("data longer than its size", "5\r\nhello!\r\n0\r\n\r\n"),
        ("no CRLF after the data", "5\r\nhello0\r\n\r\n"),
        ("empty size", "\r\nhello\r\n0\r\n\r\n"),
        ("long extension", "5;" + "e" * 100_000 + "\r\nhello\r\n0\r\n\r\n"),
        ("bad trailer", "5\r\nhello\r\n0\r\nno colon\r\n\r\n"),
    ]  # fmt: skip

    def marked(self, index: int) -> str:
        return f"mark-{index}-{id(self)}-end"

    def test_ambiguous_heads_are_refused_unseen(self):
        for index, (name, text) in enumerate(self.ROWS):
            mark = self.marked(index)
            data = text.replace("{mark}", mark).replace("{host}", self.host).replace("{name}", self.client.host).encode("latin-1")
            with self.subTest(row=name):
                answer = raw(self.port, data, 3)
                if name in self.HARMLESS and b" 404 " in answer[:20]:
                    continue
                if not (name in self.SILENT and answer == b""):
                    match = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
                    self.assertTrue(match, f"no answer: {answer[:100]!r}")
                    self.assertIn(int(match[1]), self.STATUS.get(name, {400}))
                    self.assertEqual(len(re.findall(rb"(?m)^HTTP/1\.[01] \d{3} ", answer)), 1, "more than one answer")
                self.assertEqual(self.origin.saw(mark), [], "the origin saw it")

    def test_refusals_close_the_connection(self):
        for name, text in self.ROWS[:3]:
            mark = self.marked(1000)
            data = text.replace("{mark}", mark).replace("{host}", self.host).encode("latin-1")
            with self.subTest(row=name), connect(self.port, seconds=5) as connection:
                connection.sendall(data)
                while connection.recv(65536):
                    pass  # ends by itself, or by the time-out that fails this row
                self.assertEqual(self.origin.saw(mark), [])

    def test_lying_chunks_end_the_request(self):
        for index, (name, chunks) in enumerate(self.CHUNKS):
            mark = self.marked(2000 + index)
            head = f"POST /hash?{mark} HTTP/1.1\r\nHost: {self.host}\r\nTransfer-Encoding: chunked\r\n\r\n"
            second = f"GET /bytes/1?{mark}-second HTTP/1.1\r\nHost: {self.host}\r\n\r\n"
            with self.subTest(row=name):
                answer = raw(self.port, (head + chunks + second).encode("latin-1"), 3)
                self.assertNotIn(b" 200 ", answer[:20])
                self.assertEqual(self.origin.saw(mark + "-second"), [])
                self.assertFalse(any(r.ended for r in self.origin.saw(mark)), "the origin took the body for whole")

    def test_good_twins_of_the_rows_pass(self):
        """The same shapes, well formed: a relay that refuses everything fails here."""
        twins = (
            ("CL", self.POST + "Content-Length: 5\r\nConnection: close\r\n\r\nhello", 404),
            ("CL with leading zeros", self.POST + "Content-Length: 0005\r\nConnection: close\r\n\r\nhello", 404),
            ("TE", self.POST + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 404),
            ("TE in odd case", self.POST + "transfer-encoding: CHUNKED\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 404),
            ("chunk extension", self.POST + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", 404),
            ("empty line first", "\r\n" + self.GET + "Connection: close\r\n\r\n", 404),
            ("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: {host}\r\nX: {mark}\r\nConnection: close\r\n\r\n", None),
        )
        for index, (name, text, status) in enumerate(twins):
            mark = self.marked(3000 + index)
            with self.subTest(row=name):
                answer = raw(self.port, text.replace("{mark}", mark).replace("{host}", self.host).encode(), 3)
                if status:
                    self.assertIn(f" {status} ".encode(), answer[:20])
                self.assertEqual(len(self.origin.saw(mark)), 1)

    def test_bodies_of_get_and_head_do_not_become_requests(self):
        for method in ("GET", "HEAD", "OPTIONS", "DELETE"):
            mark = self.marked(4000)
            body = f"GET /{mark}-inside HTTP/1.1\r\nHost: {self.host}\r\n\r\n"
            raw(self.port, f"{method} /status/200 HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode(), 2)
            self.assertEqual([r for r in self.origin.seen if r.target == f"/{mark}-inside"], [], method)


class HostileOrigin(StandCase):
    def test_ambiguous_answers_are_502(self):
        for name in HOSTILE:
            with self.subTest(row=name):
                answer = self.fetch(f"/hostile/{name}")
                self.assertEqual(answer.status, 502)
                self.assertTrue(answer.complete)

    def test_the_tunnel_lives_on(self):
        for name in HOSTILE:
            self.fetch(f"/hostile/{name}")
        self.assertEqual(self.fetch("/bytes/100").body, body_of(100))


def basic(text: str) -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(text.encode()).decode()


class BasicAccess(StandCase):
    client_options = ("-a", "someone:pass:word")

    def test_only_the_right_word_passes(self):
        for fields, status in (([], 401), ([basic("someone:wrong")], 401), ([basic("x:pass:word")], 401), ([("Authorization", "Basic !!!")], 401), ([("Authorization", "Bearer x")], 401), ([basic("someone:pass:word")], 200)):
            with self.subTest(fields=fields):
                before = len(self.origin.seen)
                answer = self.fetch("/echo", fields=fields)
                self.assertEqual(answer.status, status)
                if status == 401:
                    self.assertIn("basic", answer.value("www-authenticate").lower())
                    self.assertEqual(len(self.origin.seen), before)
                else:
                    self.assertNotIn("authorization", [n.lower() for n, _ in answer.json()["fields"]])

    def test_it_covers_websockets(self):
        request = f"GET /ws HTTP/1.1\r\nHost: {self.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        self.assertIn(b" 401 ", raw(self.port, request.encode(), 2)[:20])

    def test_without_a_it_reaches_the_origin(self):
        client = self.another("http", self.origin.port)
        got = fetch(self.port, f"{client.host}:{client.port}", "/echo", fields=[basic("a:b")]).json()
        self.assertIn(list(basic("a:b")), got["fields"])


class Guessing(StandCase):
    """Alone: its relay has no patience left afterwards."""

    client_options = ("-a", "someone:pass:word")

    def test_guessing_is_limited_and_locks_nobody_out(self):
        right = [basic("someone:pass:word")]
        self.assertEqual(self.fetch("/bytes/1", fields=right).status, 200)
        visitor = self.visitor()
        statuses = []
        for index in range(40):
            visitor.request("GET", "/bytes/1", [basic(f"someone:{index}")])
            answer = visitor.response()
            statuses.append(answer.status)
        self.assertEqual(sorted(set(statuses)), [401, 429])
        self.assertGreater(int(answer.value("retry-after")), 0)
        self.assertEqual(self.fetch("/bytes/1", fields=right).status, 200)


class LocalServices(StandCase):
    def test_a_unix_socket(self):
        from harness.processes import Scratch

        folder = self.own(Scratch("causeway-unix"), "remove")
        self.own(Origin(unix=str(folder / "service.sock")), "close")
        client = self.another("http", f"unix:{folder / 'service.sock'}")
        self.assertEqual(fetch(self.port, f"{client.host}:{client.port}", "/bytes/1000").body, body_of(1000))

    def test_a_bare_port_finds_ipv6_loopback(self):
        try:
            origin = self.own(Origin(host="::1"), "close")
        except OSError as error:
            self.skipTest(f"no IPv6 loopback: {error}")
        client = self.another("http", origin.port)
        self.assertEqual(fetch(self.port, f"{client.host}:{client.port}", "/bytes/10").body, body_of(10))

    def test_https_with_its_own_certificate_on_loopback(self):
        import ssl

        from harness.peers import Certificates

        pair = self.own(Certificates(), "remove")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        origin = self.own(Origin(tls=context), "close")
        client = self.another("http", f"https://localhost:{origin.port}")
        host = f"{client.host}:{client.port}"
        self.assertEqual(fetch(self.port, host, "/bytes/100000").body, body_of(100_000))
        answer = fetch(self.port, host, "/hash", method="POST", body=body_of(100_000))
        self.assertEqual(answer.json()["sha256"], hash_of(100_000))
