"""Accounts from outside: the command line against a running relay and a stopped one, and what a kill leaves."""

import os
import pathlib
import signal
import stat
import subprocess
import threading
import time

from harness.cases import Case
from harness.causeway import Client, Relay
from harness.http import Closed, Visitor, fetch
from harness.origin import Origin
from harness.processes import run, tool, wait_for


class AccountCase(Case):
    needs = ("causeway", "sqlite3")

    def setUp(self):
        self.relay = self.own(Relay(), "stop")
        self.origin = self.own(Origin(), "close")

    def client(self, token, *options, **more) -> Client:
        return self.own(Client("http", self.origin.port, *options, server=self.relay.url, token=token, **more), "stop")

    def ok(self, *words) -> str:
        code, output, errors = self.relay.admin(*words)
        self.assertEqual(code, 0, f"{words}: {errors}")
        return output

    def integrity(self):
        for path in pathlib.Path(self.relay.data).glob("*.db"):
            code, output, errors = run([tool("sqlite3"), "-cmd", ".timeout 5000", path, "pragma integrity_check; pragma foreign_key_check;"])
            self.assertEqual((code, output), (0, "ok"), errors)


class CommandLine(AccountCase):
    def both_ways(self):
        """Once while the relay runs, once while it is stopped."""
        with self.subTest(relay="running"):
            yield "running"
        self.relay.process.stop()
        with self.subTest(relay="stopped"):
            yield "stopped"
        self.relay.restart()

    def test_add_prints_the_token_alone(self):
        for state in self.both_ways():
            code, output, errors = self.relay.admin("account", "add", f"{state}@example.org")
            self.assertEqual(code, 0, errors)
            self.assertRegex(output, r"\A\S{20,200}\Z")
            self.assertNotIn(output, errors)
            self.assertIn(f"{state}@example.org", self.ok("account", "list"))
            self.assertNotIn(output, self.ok("account", "list"))
        for token_state in ("running", "stopped"):
            self.assertIn(f"{token_state}@example.org", self.ok("account", "list"))

    def test_a_second_account_of_the_same_address_is_refused(self):
        self.ok("account", "add", "twice@example.org")
        for state in self.both_ways():
            code, output, errors = self.relay.admin("account", "add", "twice@example.org")
            self.assertNotEqual(code, 0, state)
            self.assertEqual((output, len(errors.splitlines())), ("", 1))
            self.assertIn("twice@example.org", errors)

    def test_unknown_and_broken_addresses_get_one_line(self):
        for words in (("account", "disable", "nobody@example.org"), ("account", "remove", "nobody@example.org"), ("account", "add", "no address"), ("account", "add", "")):
            code, output, errors = self.relay.admin(*words)
            self.assertNotEqual(code, 0, words)
            self.assertEqual((output, len(errors.strip().splitlines())), ("", 1), words)

    def test_tokens_stand_nowhere_in_the_data(self):
        token = self.relay.account("hidden@example.org")
        self.client(token)
        self.relay.process.stop()
        for path in pathlib.Path(self.relay.data).rglob("*"):
            if path.is_file():
                self.assertNotIn(token.encode(), path.read_bytes(), path)

    def test_files_are_private(self):
        self.relay.account("files@example.org")
        data = pathlib.Path(self.relay.data)
        self.assertEqual(stat.S_IMODE(data.stat().st_mode), 0o700)
        names = {path.name for path in data.iterdir()}
        self.assertLessEqual({"relay.db", "lock", "admin.sock"}, names)
        for path in data.iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path.name)
        self.assertEqual((data / "lock").read_text().strip(), str(self.relay.pid))

    def test_a_second_relay_on_the_same_data_is_refused(self):
        code, output, errors = run([*self.relay.process.arguments[:2], "--data", self.relay.data, "--listen", "127.0.0.1:0"])
        self.assertNotEqual(code, 0)
        self.assertEqual((output, len(errors.strip().splitlines())), ("", 1))
        self.assertIn(str(self.relay.pid), errors)
        self.ok("account", "list")


class Sessions(AccountCase):
    def refused(self, token) -> tuple[int, str]:
        client = self.client(token, ready=False)
        code = client.process.wait(10)
        return code, "\n".join(client.process.errors + client.process.lines)

    def test_disable_remove_and_revoke_end_sessions_within_a_second(self):
        """Seen by a visitor in the middle of a download, by the client, and by its next try."""
        for words in (("account", "disable"), ("account", "remove"), ("token", "revoke")):
            with self.subTest(words=words):
                email = f"{words[1]}@example.org"
                token = self.relay.account(email)
                client = self.client(token)
                with Visitor(self.relay.port, client.host) as visitor:
                    visitor.request("GET", "/slow/1000?every=20")
                    self.assertEqual(visitor.head().status, 200)
                    started = time.monotonic()
                    self.ok(*words, email if words[0] == "account" else self.relay.token_ids(email)[0])
                    self.assertLess(len(visitor.exactly(1000)), 1000)
                    self.assertLess(time.monotonic() - started, 1)
                self.assertEqual(client.process.wait(10), 69)
                self.assertLess(time.monotonic() - started, 1)
                self.assertEqual(self.refused(token)[0], 69)

    def test_an_enabled_account_comes_back(self):
        token = self.relay.account("again@example.org")
        self.ok("account", "disable", "again@example.org")
        self.assertEqual(self.refused(token)[0], 69)
        self.ok("account", "enable", "again@example.org")
        self.assertEqual(fetch(self.relay.port, self.client(token).host, "/bytes/1").status, 200)

    def test_a_further_token_works_like_the_first(self):
        self.relay.account("two@example.org")
        token = self.ok("token", "create", "two@example.org")
        self.assertRegex(token, r"\A\S{20,200}\Z")
        self.assertEqual(fetch(self.relay.port, self.client(token).host, "/bytes/1").status, 200)

    def test_a_wrong_token_is_refused_for_good_and_not_echoed(self):
        self.relay.account()
        for token, expected in (("wrong-token-0123456789abcdef", 69), ("x", 69), ("ä" * 20, 2)):  # the last cannot be one: never sent
            code, story = self.refused(token)
            self.assertEqual(code, expected, story)
            if len(token) > 1:
                self.assertNotIn(token, story)
            self.assertEqual(len([line for line in story.splitlines() if "token" in line.lower()]) >= 1, True, story)


class Names(AccountCase):
    def test_a_requested_name_stays_with_its_account(self):
        first, second = self.relay.account("one@example.org"), self.relay.account("two@example.org")
        client = self.client(first, "--subdomain", "mine")
        self.assertEqual(client.host, "mine.localhost")
        client.process.stop()
        self.relay.process.stop()
        self.relay.restart()
        other = self.client(second, "--subdomain", "mine", ready=False)
        self.assertEqual(other.process.wait(10), 69)
        self.assertEqual(self.client(first, "--subdomain", "mine").host, "mine.localhost")
        self.assertIn("mine", self.ok("name", "list"))

    def test_a_released_name_cools_down(self):
        first, second = self.relay.account("one@example.org"), self.relay.account("two@example.org")
        client = self.client(first, "--subdomain", "cooling")
        client.process.stop()
        self.ok("name", "release", "cooling")
        other = self.client(second, "--subdomain", "cooling", ready=False)
        self.assertEqual(other.process.wait(10), 69, other.process.story())

    def test_a_random_name_comes_back_with_its_client(self):
        token = self.relay.account()
        client = self.client(token)
        self.relay.process.kill()
        self.relay.restart()
        self.assertEqual(fetch(self.relay.port, client.host, "/bytes/1", seconds=2).status, 200)  # it waits for the name

    def test_a_tcp_port_sticks(self):
        token = self.relay.account()
        client = self.own(Client("tcp", self.origin.port, server=self.relay.url, token=token), "stop")
        port = client.port
        self.relay.process.kill()
        self.relay.restart()
        def answers():
            try:
                with Visitor(port, "x", seconds=2) as visitor:
                    visitor.request("GET", "/bytes/1")
                    return visitor.response().status == 200
            except (OSError, Closed):
                return False

        wait_for(answers, 1, "the old port")


class Kills(AccountCase):
    def test_no_account_is_lost_by_sigkill(self):
        tokens = {}
        for index in range(12):
            email = f"kill{index}@example.org"
            tokens[email] = self.relay.account(email)
            self.relay.process.kill()  # right after the answer: it was committed before it was told
            self.integrity()
            self.relay.restart()
        listed = self.ok("account", "list")
        for email, token in tokens.items():
            self.assertIn(email, listed)
        self.assertEqual(fetch(self.relay.port, self.client(tokens["kill0@example.org"]).host, "/bytes/1").status, 200)

    def test_kills_during_writes_leave_a_whole_database(self):
        for round_ in range(5):
            words = [self.relay.process.arguments[0], "relay", "account", "add", f"during{round_}@example.org", "--data", str(self.relay.data)]
            adding = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            time.sleep(0.003 * round_)
            os.kill(self.relay.pid, signal.SIGKILL)
            token = adding.communicate(timeout=20)[0].decode().strip()
            self.relay.process.kill()
            self.integrity()
            self.relay.restart()
            if token:
                self.assertIn(f"during{round_}@example.org", self.ok("account", "list"), "a token was told and the account is lost")


class Storms(AccountCase):
    def test_an_outside_reader_takes_nothing_away(self):
        """A backup tool looks into the database of a running relay: what the relay writes afterwards must be on disk all the same."""
        self.relay.account("before@example.org")
        self.integrity()
        self.relay.account("after@example.org")
        self.relay.process.kill()
        self.integrity()
        self.relay.restart()
        self.assertIn("after@example.org", self.ok("account", "list"))

    def test_kills_in_the_middle_of_commits(self):
        """The relay dies at any moment while accounts are added and names registered; what was told is there, and all URLs come back."""
        token = self.relay.account("many@example.org")
        clients = [self.client(token) for _ in range(4)]
        self.addCleanup(setattr, self, "over", True)
        self.over, told = False, []

        def add(worker):
            index = 0
            while not self.over:
                email = f"storm{worker}.{index}@example.org"
                code, output, _ = self.relay.admin("account", "add", email)
                if code == 0 and output:
                    told.append(email)
                index += 1

        workers = [threading.Thread(target=add, args=(worker,)) for worker in range(2)]
        for worker in workers:
            worker.start()
        for round_ in range(6):
            newcomer = self.client(token, "--subdomain", f"storm-{round_}", ready=False)
            time.sleep(0.05 + 0.037 * round_)
            self.relay.process.kill()
            self.integrity()
            self.restart_against_the_storm()
            newcomer.wait_ready()
            clients.append(newcomer)
        self.over = True
        for worker in workers:
            worker.join()
        self.integrity()
        self.assertGreater(len(told), 10)
        listed = self.ok("account", "list")
        self.assertEqual([email for email in told if f"{email}\t" not in listed], [], "told and lost")
        for client in clients:
            self.assertEqual(fetch(self.relay.port, client.host, "/bytes/1").status, 200, client.host)
            self.assertEqual([line for line in client.process.lines if "url_changed" in line], [])

    def restart_against_the_storm(self):
        """A command that manages accounts may hold the lock for a moment: the relay waits for it, and says so if it was in vain."""
        for _ in range(5):
            try:
                return self.relay.restart()
            except AssertionError:
                time.sleep(0.2)
        self.fail(self.relay.process.story())
