"""The command line from outside: what goes to stdout, what a mistake costs, and where a secret never shows."""

import json
import os
import pathlib
import re
import signal
import socket
import stat
import threading
import time

from harness.cases import Case, StandCase
from harness.causeway import Client, Relay, program
from harness.http import fetch
from harness.origin import Origin, body_of
from harness.processes import Process, Scratch, free_port, run, tool, wait_for

TOKEN = "tok-0123456789abcdef0123456789abcdef"


class CommandCase(Case):
    def setUp(self):
        self.home = self.own(Scratch("causeway-home"), "remove")
        self.environment = {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config"), "XDG_STATE_HOME": str(self.home / "state")}

    def run_it(self, *words, env=None, **options):
        return run([program(), *words], env=self.environment | (env or {}), cwd=self.home.path, **options)

    def one_line(self, code: int, words, *patterns, env=None, **options) -> str:
        """Ends with `code`, says nothing on stdout and one line on stderr in which every pattern occurs."""
        got, output, errors = self.run_it(*words, env=env, **options)
        self.assertEqual(got, code, f"{words}: {output} {errors}")
        self.assertEqual(output, "", words)
        lines = errors.strip().splitlines()
        self.assertEqual(len(lines), 1, f"{words}: {errors}")
        for pattern in patterns:
            self.assertRegex(lines[0], pattern, words)
        return lines[0]


class Usage(CommandCase):
    def test_mistakes_get_one_line_and_2(self):
        for words, pattern in (
            (["htpp", "8080"], "http"),
            (["http"], "(?i)port"),
            (["http", "8080", "--subdomian", "x"], "--subdomain"),
            (["http", "8080", "--log-levle", "info"], "--log-level"),
            (["http", "99999"], "99999"),
            (["http", "0"], "0"),
            (["http", "-1"], "-1"),
            (["http", "localhost:"], "localhost:"),
            (["http", "ftp://localhost"], "ftp"),
            (["tcp", "eighty"], "eighty"),
            (["tcp", "22", "--remote-port", "70000"], "70000"),
            (["tcp", "22", "-a", "u:p"], "-a|basic|tcp"),
            (["http", "80", "--subdomain", "-bad-"], "--subdomain.*needs a value"),
            (["http", "80", "--subdomain=-bad-"], "-bad-"),
            (["http", "80", "--subdomain", "a.b"], r"a\.b"),
            (["http", "80", "--subdomain", "x" * 64], "63"),
            (["http", "80", "--log-level", "loud"], "loud"),
            (["http", "80", "--server", "gopher://x"], "gopher"),
            (["http", "80", "extra", "words"], "extra"),
            (["relay", "--listen", "nowhere"], "nowhere"),
            (["relay", "--tcp-ports", "9-1"], "9-1"),
            (["relay", "--tls-cert", "x.pem"], "--tls-key"),
            (["relay", "--trusted-proxy", "10.0.0.0/99"], "10.0.0.0/99"),
            (["start", "--nope"], "--nope"),
            (["nonsense"], "nonsense"),
        ):
            with self.subTest(words=words):
                self.one_line(2, words, re.compile(pattern), env={"CAUSEWAY_TOKEN": TOKEN})

    def test_a_token_as_an_argument_is_an_error_that_does_not_echo_it(self):
        for words in (["http", "80", "--token", TOKEN], ["http", "80", f"--token={TOKEN}"], ["relay", "--token", TOKEN]):
            line = self.one_line(2, words, "(?i)token")
            self.assertNotIn(TOKEN, line)
            self.assertRegex(line, "CAUSEWAY_TOKEN|--token-file|authtoken")

    def test_help_is_an_answer(self):
        for words in (["--help"], ["http", "--help"], ["tcp", "--help"], ["start", "-h"], ["relay", "--help"], ["relay", "account", "--help"], ["help"], ["authtoken", "--help"], ["config", "--help"]):
            code, output, errors = self.run_it(*words)
            self.assertEqual((code, errors), (0, ""), words)
            self.assertGreater(len(output.splitlines()), 3, words)
            self.assertLessEqual(max(map(len, output.splitlines())), 110, words)

    def test_version_is_an_answer_and_quick(self):
        for words in (["version"], ["--version"]):
            code, output, errors = self.run_it(*words)
            self.assertEqual((code, errors), (0, ""))
            self.assertRegex(output, r"\Acauseway \d+\.\d+")
        times = []
        for _ in range(10):
            started = time.perf_counter()
            self.run_it("version")
            times.append(time.perf_counter() - started)
        print(f"version: {min(times) * 1000:.1f} ms with Python's own share")  # measured, judged by the benchmark

    def test_completions_are_scripts(self):
        for shell, word in (("bash", "complete"), ("zsh", "#compdef"), ("fish", "complete -c causeway")):
            code, output, _ = self.run_it("completions", shell)
            self.assertEqual(code, 0, shell)
            self.assertIn(word, output)
            for command in ("http", "tcp", "relay", "authtoken"):
                self.assertIn(command, output)
        bash = self.run_it("completions", "bash")[1]
        code, output, errors = run(["bash", "-c", bash + "\nCOMP_WORDS=(causeway ht); COMP_CWORD=1; _causeway; echo ${COMPREPLY[*]}"])
        self.assertEqual((code, output.split()), (0, ["http"]), errors)


class Configuration(CommandCase):
    def write(self, text: str, name: str = "causeway.yml", mode: int = 0o600) -> pathlib.Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def test_broken_files_are_shown_with_line_column_and_key(self):
        for text, pattern in (
            ("tunnels: [", r"causeway\.yml:\d+:\d+"),
            ("tunnels:\n  - name: a\n    protcol: http\n    local_port: 80\n", r"causeway\.yml:3:5.*protcol.*protocol"),
            ("tunnels:\n  - name: a\n    protocol: http\n    local_port: eighty\n", r"causeway\.yml:4:\d+.*local_port"),
            ("tunnels:\n  - name: a\n    protocol: gopher\n    local_port: 80\n", r"causeway\.yml:3:\d+.*protocol"),
            ("tunnels:\n  - name: a\n    protocol: http\n", r"causeway\.yml:2.*local"),
            ("tunnels:\n  - protocol: http\n    local_port: 80\n", r"causeway\.yml:2.*name"),
            ("tunnels:\n  - name: a\n    protocol: tcp\n    local_port: 80\n    auth: u:p\n", r"causeway\.yml:5.*auth"),
            ("tunnels:\n  - {name: a, protocol: http, local_port: 80}\n  - {name: a, protocol: http, local_port: 81}\n", r"causeway\.yml:3.*a"),
            ("server: [1, 2]\ntunnels: []\n", r"causeway\.yml:1:\d+.*server"),
            ("tunnels: []\n", r"causeway\.yml.*tunnels"),
            ("tunnles: []\n", r"causeway\.yml:1:1.*tunnles.*tunnels"),
            ("- just\n- a list\n", r"causeway\.yml:1:1"),
            ("tunnels:\n\t- name: tab\n", r"causeway\.yml:2"),
            ("tunnels: &a [*a]\n", r"causeway\.yml"),
        ):
            with self.subTest(text=text):
                self.write(text)
                self.one_line(2, ["start"], pattern, env={"CAUSEWAY_TOKEN": TOKEN})

    def test_an_unreadable_file_is_78(self):
        self.one_line(78, ["start", "missing.yml"], "missing.yml")
        (self.home / "folder.yml").mkdir()
        self.one_line(78, ["start", "folder.yml"], "folder.yml")
        self.one_line(78, ["relay", "--config", "missing.yaml"], "missing.yaml")

    def test_an_unknown_name_for_start_offers_the_known(self):
        self.write("tunnels:\n  - {name: web, protocol: http, local_port: 80}\n")
        self.one_line(2, ["start", "causeway.yml", "wbe"], "wbe", "web", env={"CAUSEWAY_TOKEN": TOKEN})

    def test_relay_files_mind_their_keys(self):
        for text, pattern in (("listne: [x]\n", r":1:1.*listne.*listen"), ("limits: {nonsense: 1}\n", r":1:\d+.*nonsense"), ("domain: [a]\n", r":1:\d+.*domain"), ("tcp_ports: 9-1\n", r":1:12: key 'tcp_ports'.*9-1")):
            path = self.write(text, "relay.yaml")
            self.one_line(2, ["relay", "--config", str(path)], pattern)

    def test_configuration_that_others_can_read_is_refused(self):
        path = self.write(f"tokens:\n  http://127.0.0.1:8080: {TOKEN}\n", "config/causeway/config.yaml", 0o644)
        line = self.one_line(78, ["http", "80"], "config.yaml", "chmod|0600|600")
        self.assertNotIn(TOKEN, line)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o644)

    def test_authtoken_stores_privately_for_its_server(self):
        code, output, errors = self.run_it("authtoken", "-", "--server", "https://relay.example", stdin=TOKEN + "\n")
        self.assertEqual((code, output), (0, ""), errors)
        path = self.home / "config" / "causeway" / "config.yaml"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(path.parent.stat().st_mode), 0o700)
        self.assertIn(TOKEN, path.read_text())
        self.assertIn("https://relay.example", path.read_text())
        self.assertNotIn(TOKEN, errors)
        code, output, _ = self.run_it("config")
        self.assertEqual(code, 0)
        self.assertNotIn(TOKEN, output)

    def test_authtoken_reads_no_argument(self):
        line = self.one_line(2, ["authtoken", TOKEN], "(?i)standard input|prompt|-")
        self.assertNotIn(TOKEN, line)

    def test_a_token_is_sent_to_its_own_server_only(self):
        heard = []
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def listen():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(2)
                    try:
                        heard.append(connection.recv(65536))
                    except OSError:
                        pass

        threading.Thread(target=listen, daemon=True).start()
        self.run_it("authtoken", "-", "--server", "https://relay.example", stdin=TOKEN)
        process = self.own(Process([program(), "http", "80", "--server", f"http://127.0.0.1:{listener.getsockname()[1]}"], env=self.environment), "stop")
        process.find(lambda line: "token" in line.lower(), 10, errors=True)
        self.assertNotIn(TOKEN.encode(), b"".join(heard))

    def test_concurrent_writers_lose_nothing(self):
        starts = [Process([program(), "authtoken", "-", "--server", f"https://r{i}.example"], env=self.environment, stdin=f"{TOKEN}{i}") for i in range(10)]
        for process in starts:
            self.assertEqual(process.wait(10), 0, process.story())
        text = (self.home / "config" / "causeway" / "config.yaml").read_text()
        for index in range(10):
            self.assertIn(f"{TOKEN}{index}", text)


class Refusals(CommandCase):
    """What connecting can meet. `relay` is shared; each test is a client of its own."""

    @classmethod
    def prepare(cls):
        cls.relay = cls.keep(Relay(), "stop")
        cls.token = cls.relay.account()

    def test_refused_for_good_is_69(self):
        for words, env, pattern in (
            (["http", "80", "--server", self.relay.url], {"CAUSEWAY_TOKEN": TOKEN}, "(?i)token"),
            (["http", "80", "--server", "http://no-such-host.invalid"], {"CAUSEWAY_TOKEN": TOKEN}, "no-such-host.invalid"),
        ):
            with self.subTest(words=words):
                line = self.one_line(69, words, pattern, env=env) if "invalid" not in words[-1] else self.last_line(69, words, env)
                self.assertRegex(line, pattern)
                self.assertNotIn(TOKEN, line)

    def last_line(self, code, words, env):
        """Like one_line, where a warning (plain http to another host) may stand before."""
        got, output, errors = self.run_it(*words, env=env)
        self.assertEqual((got, output), (code, ""), errors)
        return errors.strip().splitlines()[-1]

    def test_an_answer_that_is_not_a_relays_is_69(self):
        origin = self.own(Origin(), "close")
        self.one_line(69, ["http", "80", "--server", f"http://127.0.0.1:{origin.port}"], f"127.0.0.1:{origin.port}", env={"CAUSEWAY_TOKEN": TOKEN})

    def test_no_token_at_all_says_where_to_get_one(self):
        got, output, errors = self.run_it("http", "80", "--server", self.relay.url)
        self.assertIn(got, (2, 69))
        self.assertEqual((output, len(errors.strip().splitlines())), ("", 1))
        self.assertRegex(errors, "authtoken|CAUSEWAY_TOKEN")

    def test_a_refused_connection_is_retried(self):
        port = free_port()
        environment = self.environment | {"CAUSEWAY_TOKEN": TOKEN}
        process = self.own(Process([program(), "http", "80", "--server", f"http://127.0.0.1:{port}"], env=environment), "stop")
        process.find(lambda line: "refused" in line.lower() and str(port) in line, 10, errors=True)
        time.sleep(2)
        self.assertTrue(process.running)
        refusals = [line for line in process.errors if "refused" in line.lower()]
        self.assertEqual(len(refusals), 1, "one line for each change of cause")
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(5), 0)

    def test_5xx_is_retried(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def unavailable():
            while True:
                try:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                except OSError:
                    if listener.fileno() < 0:
                        return

        threading.Thread(target=unavailable, daemon=True).start()
        environment = self.environment | {"CAUSEWAY_TOKEN": TOKEN}
        process = self.own(Process([program(), "http", "80", "--server", f"http://127.0.0.1:{listener.getsockname()[1]}"], env=environment), "stop")
        process.find(lambda line: "503" in line, 10, errors=True)
        time.sleep(1)
        self.assertTrue(process.running)

    def test_a_taken_name_is_69(self):
        first = self.own(Client("http", 9, "--subdomain", "taken", server=self.relay.url, token=self.token), "stop")
        self.assertEqual(first.host, "taken.localhost")
        other = self.relay.account("other@example.org")
        self.one_line(69, ["http", "80", "--subdomain", "taken", "--server", self.relay.url], "taken", env={"CAUSEWAY_TOKEN": other})
        self.assertTrue(first.process.running)

    def test_a_taken_port_of_the_relay_gets_one_line(self):
        code, output, errors = self.run_it("relay", "--listen", f"127.0.0.1:{self.relay.port}", "--data", str(self.home / "r"))
        self.assertEqual((code, output, len(errors.strip().splitlines())), (1, "", 1), errors)
        self.assertIn(str(self.relay.port), errors)


class Outputs(StandCase):
    def test_stdout_has_the_url_and_nothing_else(self):
        client = self.another("http", self.origin.port, json_lines=False)
        self.assertRegex(client.process.lines[0], r"\Ahttp://[a-z0-9-]+\.localhost:\d+\Z")
        fetch(self.port, client.host, "/bytes/1")
        client.process.signal(signal.SIGINT)
        self.assertEqual(client.process.wait(5), 0)
        self.assertEqual(len(client.process.lines), 1)

    def test_requests_are_told_on_stderr(self):
        client = self.another("http", self.origin.port, json_lines=False)
        fetch(self.port, client.host, "/status/200?a-story")
        client.process.find(lambda line: "/status/200" in line and "200" in line, 5, errors=True)

    def test_a_flood_of_requests_is_counted_not_told(self):
        client = self.another("http", self.origin.port, json_lines=False)
        for _ in range(400):
            fetch(self.port, client.host, "/bytes/1?flood")
        time.sleep(1.1)  # the second that the limit speaks of
        fetch(self.port, client.host, "/bytes/1?after")
        client.process.find(lambda line: "?after" in line, 5, errors=True)
        told = [line for line in client.process.errors if "?flood" in line]
        skipped = [re.search(r"(\d+) more requests", line) for line in client.process.errors]
        counted = sum(int(found.group(1)) for found in skipped if found)
        self.assertEqual(len(told) + counted, 400, client.process.errors[-5:])
        self.assertGreater(counted, 0)

    def test_q_is_quiet(self):
        client = self.another("http", self.origin.port, "-q", json_lines=False)
        fetch(self.port, client.host, "/bytes/1")
        client.process.stop()
        self.assertEqual(client.process.errors, [])

    def test_json_lines_are_events(self):
        client = self.another("http", self.origin.port)
        self.assertEqual(json.loads(client.process.lines[0])["event"], "ready")
        fetch(self.port, client.host, "/status/200?json")
        event = client.process.event("request", 5)
        self.assertEqual((event.get("method"), event.get("status")), ("GET", 200), event)
        client.process.signal(signal.SIGTERM)
        self.assertEqual(client.process.wait(5), 0)
        for line in client.process.lines:
            self.assertIn(json.loads(line)["event"], {"ready", "reconnecting", "resumed", "url_changed", "request", "local_down", "local_up", "error", "closed"})
        self.assertEqual(json.loads(client.process.lines[-1])["event"], "closed")

    def test_a_closed_local_port_is_a_warning(self):
        port = free_port()
        client = self.another("http", port)
        fetch(self.port, client.host, "/")
        self.assertTrue(client.process.event("local_down", 5))
        origin = self.own(Origin(port=port), "close")
        self.assertEqual(fetch(self.port, client.host, "/bytes/1").status, 200)
        self.assertTrue(client.process.event("local_up", 5))
        self.assertTrue(client.process.running)
        origin.close()

    def test_start_runs_several_tunnels_in_one_session(self):
        folder = self.own(Scratch("causeway-start"), "remove")
        (folder / "causeway.yml").write_text(
            f"server: {self.relay.url}\ntunnels:\n  - name: web\n    protocol: http\n    local_port: {self.origin.port}\n    subdomain: startweb\n"
            f"  - {{name: raw, protocol: tcp, local: 127.0.0.1:{self.origin.port}}}\n  - {{name: other, protocol: http, local_port: 9}}\n"
        )
        environment = {"CAUSEWAY_TOKEN": self.token, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        process = self.own(Process([program(), "start", folder / "causeway.yml", "web", "raw"], env=environment), "stop")
        urls = dict(process.line(i).split("=", 1) for i in range(2))
        self.assertEqual(urls["web"], f"http://startweb.localhost:{self.port}")
        self.assertEqual(fetch(self.port, "startweb.localhost", "/bytes/2").body, body_of(2))
        self.assertEqual(fetch(int(urls["raw"].rpartition(":")[2]), "x", "/bytes/3").body, body_of(3))
        process.signal(signal.SIGINT)
        self.assertEqual(process.wait(5), 0)

    def test_logs_can_go_to_a_file_as_json(self):
        folder = self.own(Scratch("causeway-log"), "remove")
        client = self.another("http", self.origin.port, "--log-file", folder / "log", "--log-level", "debug", "--log-format", "json")
        fetch(self.port, client.host, "/bytes/1")
        client.process.stop()
        lines = (folder / "log").read_text().splitlines()
        self.assertTrue(lines)
        for line in lines:
            json.loads(line)
        self.assertEqual(stat.S_IMODE((folder / "log").stat().st_mode) & 0o077, 0)

    def test_signals_end_with_0(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            client = self.another("http", self.origin.port)
            client.process.signal(number)
            self.assertEqual(client.process.wait(5), 0)
            relay = self.own(Relay(), "stop")
            relay.process.signal(number)
            self.assertEqual(relay.process.wait(5), 0)

    def test_a_closed_stdout_does_not_end_the_tunnel(self):
        environment = {"CAUSEWAY_TOKEN": self.token, "HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}
        words = f"{program()} http {self.origin.port} --server {self.relay.url} --subdomain pipe | head -n 1; sleep 30"
        process = self.own(Process(["sh", "-c", words], env=environment), "stop")
        process.line(0)
        for _ in range(3):
            self.assertEqual(fetch(self.port, "pipe.localhost", "/bytes/1").status, 200)

    def test_the_relays_first_line_is_its_url(self):
        relay = self.own(Relay(json_lines=False), "stop")
        self.assertRegex(relay.process.lines[0], r"\Ahttp://127\.0\.0\.1:\d+\Z")
        relay.process.stop()
        self.assertEqual(len(relay.process.lines), 1)

    def test_metrics_are_live(self):
        port = free_port()
        relay = self.own(Relay("--metrics", f"127.0.0.1:{port}"), "stop")
        client = self.own(Client("http", self.origin.port, server=relay.url, token=relay.account()), "stop")
        fetch(relay.port, client.host, "/bytes/1")
        answer = fetch(port, "x", "/metrics")
        self.assertTrue(answer.value("content-type").startswith("text/plain"))
        for line in answer.body.decode().splitlines():
            self.assertRegex(line, r'\A(# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"]*",?)+\})? -?[\d.e+-]+(Inf)?)\Z')
        self.assertEqual(fetch(relay.port, "localhost", "/metrics").status, 404)


class Secrets(StandCase):
    client_options = ("--log-level", "debug")

    def everything_said(self) -> str:
        processes = (self.relay.process, self.client.process)
        return "\n".join(line for p in processes for line in p.lines + p.errors)

    def test_the_token_shows_nowhere(self):
        self.assertTrue(self.client.process.running)
        for pid in (self.client.pid, self.relay.pid):
            for name in ("cmdline", "environ"):
                self.assertNotIn(self.token.encode(), pathlib.Path(f"/proc/{pid}/{name}").read_bytes(), name)
        listing = run([tool("ps"), "auxwwe"])[1] if tool("ps") else ""
        self.assertNotIn(self.token, listing)
        fetch(self.port, self.host, "/echo")
        self.assertNotIn(self.token, self.everything_said())

    def test_core_dumps_are_off(self):
        limits = pathlib.Path(f"/proc/{self.client.pid}/limits").read_text()
        dumpable = not os.access(f"/proc/{self.client.pid}/mem", os.R_OK) or re.search(r"Max core file size +0 ", limits)
        self.assertTrue(dumpable, limits)

    def test_a_password_of_a_leaves_argv_and_is_warned_about(self):
        client = self.another("http", self.origin.port, "-a", "me:open-sesame")
        wait_for(lambda: b"open-sesame" not in pathlib.Path(f"/proc/{client.pid}/cmdline").read_bytes(), 2, "the password to leave argv")
        client.process.find(lambda line: "-a" in line and ("file" in line or "@" in line or "CAUSEWAY_BASIC_AUTH" in line), 5, errors=True)
        self.assertNotIn("open-sesame", "\n".join(client.process.errors + client.process.lines))
        self.assertEqual(fetch(self.port, client.host, "/").status, 401)

    def test_a_file_of_a_is_read(self):
        folder = self.own(Scratch("causeway-basic"), "remove")
        (folder / "word").write_text("me:open-sesame\n")
        (folder / "word").chmod(0o600)
        client = self.another("http", self.origin.port, "-a", f"@{folder / 'word'}")
        basic = [("Authorization", "Basic bWU6b3Blbi1zZXNhbWU=")]
        self.assertEqual((fetch(self.port, client.host, "/").status, fetch(self.port, client.host, "/", fields=basic).status), (401, 200))

    def test_token_files_and_standard_input(self):
        folder = self.own(Scratch("causeway-token"), "remove")
        (folder / "token").write_text(self.token + "\n")
        (folder / "token").chmod(0o600)
        for words, stdin in ((["--token-file", folder / "token"], None), (["--token-file", "-"], self.token + "\n")):
            client = self.own(Client("http", self.origin.port, *words, server=self.relay.url, stdin=stdin), "stop")
            self.assertEqual(fetch(self.port, client.host, "/bytes/1").status, 200)


class Terminal(StandCase):
    needs = ("causeway", "tmux")

    def test_the_panel_shows_url_and_requests(self):
        folder = self.own(Scratch("causeway-tmux"), "remove")
        at, name = str(folder / "socket"), "panel"
        tmux = [tool("tmux"), "-S", at]
        environment = {"CAUSEWAY_TOKEN": self.token, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        words = [program(), "http", str(self.origin.port), "--server", self.relay.url, "--subdomain", "panel"]
        code, _, errors = run([*tmux, "-f", "/dev/null", "new-session", "-d", "-s", name, "-x", "100", "-y", "30", *words], env=environment)
        self.assertEqual(code, 0, errors)
        self.addCleanup(lambda: run([*tmux, "kill-server"]))

        def screen() -> str:
            return run([*tmux, "capture-pane", "-p", "-t", name])[1]

        wait_for(lambda: "panel.localhost" in screen(), 10, "the URL on the panel")
        fetch(self.port, "panel.localhost", "/status/200")
        wait_for(lambda: "/status/200" in screen() and "200" in screen(), 5, "the request on the panel")
        run([*tmux, "resize-window", "-t", name, "-x", "36", "-y", "20"])  # without any news: the window alone redraws
        wait_for(lambda: any(line.startswith("URL") and line.endswith("…") for line in screen().splitlines()), 5, "a line cut to the window")
