"""Messages from the command line: what UCX there is, and short measurements between processes."""

import json
import os
import pathlib
import signal
import time

from harness.cases import Case
from harness.processes import Process, Scratch, binary, run, wait_for

SHORT = ["--iterations", "20", "--warmup", "2"]
SCENARIOS = ("large-array", "small-messages", "pingpong-flag", "streaming-duplex")
MIB = 1 << 20


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


class MessagingCase(Case):
    def one_line(self, code: int, words, *patterns, **options):
        got, output, errors = run([binary(), *words], **options)
        self.assertEqual((got, output), (code, ""), f"{words}: {errors}")
        self.assertEqual(len(errors.strip().splitlines()), 1, errors)
        for pattern in patterns:
            self.assertRegex(errors, pattern)

    def answer(self, *words, **options) -> str:
        code, output, errors = run([binary(), *words], **options)
        self.assertEqual((code, errors), (0, ""), f"{words}: {output}")
        return output

    def results(self, *words) -> list[dict]:
        return [json.loads(line) for line in self.answer("bench", "messaging", "--json", *words, seconds=60).splitlines()]


class Info(MessagingCase):
    def test_it_names_the_ucx_its_file_and_what_a_connection_takes(self):
        report = json.loads(self.answer("messaging", "info", "--json"))
        self.assertRegex(report["ucx"]["version"], r"\A1\.\d+\.\d+\Z")
        self.assertTrue(os.path.isfile(report["ucx"]["path"]), report["ucx"])
        names = {transport["name"] for transport in report["transports"]}
        self.assertLessEqual({"tcp", "posix"}, names)
        host = report["this_host"]
        self.assertLessEqual({transport["name"] for transport in host["transports"]}, names)
        self.assertEqual({route["class"] for route in host["routes"]}, {"eager", "rendezvous"})
        self.assertGreater(report["eager_limit"], 1024)
        self.assertNotIn("lo", {transport["device"] for transport in report["other_hosts"]})
        text = self.answer("messaging", "info")
        for word in (report["ucx"]["version"], report["ucx"]["path"], "eager", "rendezvous"):
            self.assertIn(word, text)

    def test_the_transports_that_were_asked_for_are_taken(self):
        for tls in ("tcp", "posix"):
            report = json.loads(self.answer("messaging", "info", "--json", "--tls", tls))
            self.assertEqual({transport["name"] for transport in report["this_host"]["transports"]}, {tls})

    def test_without_ucx_one_line_says_both_ways_to_get_it(self):
        empty = self.own(Scratch("causeway-no-ucx"), "remove")
        for words in (["messaging", "info"], ["bench", "messaging", "--peer", "one-process"], ["bench", "messaging"]):
            self.one_line(69, words, "apt-get install libucx0", "pip install libucx-cu12", "CAUSEWAY_UCX", env={"CAUSEWAY_UCX": str(empty)})

    def test_a_choice_that_means_nothing_is_a_mistake(self):
        self.one_line(2, ["messaging", "info"], "CAUSEWAY_UCX='newest'", "system", "wheel", env={"CAUSEWAY_UCX": "newest"})


class Bench(MessagingCase):
    def check(self, result: dict, scenario: str, api: str):
        self.assertEqual((result["scenario"], result["api"]), (scenario, api))
        self.assertLessEqual(0 < result["least_ns"] <= result["median_ns"] <= result["p99_ns"], True, result)
        rate = result["messages_per_second"]
        self.assertGreater(rate, 0)
        self.assertAlmostEqual(result["bytes_per_second"] / rate, result["message_bytes"], delta=0.01 + result["message_bytes"] / 1e6)

    def test_each_scenario_between_two_processes_by_both_apis(self):
        for api in ("async", "callback"):
            for scenario, size in zip(SCENARIOS, (8 * MIB, 1024, 1, MIB)):
                with self.subTest(scenario=scenario, api=api):
                    (result,) = self.results("--scenario", scenario, "--api", api, "--size", str(size), *SHORT)
                    self.check(result, scenario, api)
                    self.assertEqual((result["peer"], result["iterations"], result["message_bytes"]), ("two-process", 20, size))
                    self.assertEqual(result["message_class"], "rendezvous" if size >= MIB else "eager")
                    self.assertEqual(result["route"]["class"], result["message_class"])

    def test_the_transport_is_the_one_that_was_asked_for(self):
        for tls, device in (("tcp", "tcp/"), ("posix", "posix/")):
            (result,) = self.results("--scenario", "pingpong-flag", "--tls", tls, *SHORT)
            self.assertTrue(result["route"]["lanes"].startswith(device), result["route"])

    def test_all_scenarios_in_one_process_as_a_table(self):
        output = self.answer("bench", "messaging", "--peer", "one-process", "--size", "4096", *SHORT, seconds=60)
        lines = output.splitlines()
        self.assertRegex(lines[0], r"\Ascenario +message +median +p99 +messages/s +bandwidth\Z")
        for index, scenario in enumerate(SCENARIOS):
            self.assertRegex(lines[1 + 2 * index], rf"\A{scenario} +4\.0 KiB +[\d.]+ [nµm]?s +[\d.]+ [nµm]?s +[\d.]+.* [MG]B/s\Z")
            self.assertRegex(lines[2 + 2 * index], r"\A  eager, .+ over \w+/\S+")
        self.assertLessEqual(max(map(len, lines)), 100)

    def test_another_host_serves_until_it_is_told_to_end_and_wants_the_key(self):
        folder = self.own(Scratch("causeway-messaging"), "remove")
        (folder / "key").write_text("0123456789abcdef0123456789abcdef\n")
        (folder / "other").write_text("fedcba9876543210fedcba9876543210\n")
        server = self.own(Process([binary(), "bench", "messaging", "--listen", "127.0.0.1:0", "--key-file", folder / "key"]), "kill")
        address = server.line()
        for _ in range(2):
            (result,) = self.results("--scenario", "pingpong-flag", "--peer", address, "--key-file", str(folder / "key"), *SHORT)
            self.check(result, "pingpong-flag", "async")
            self.assertEqual(result["peer"], address)
        self.one_line(69, ["bench", "messaging", "--peer", address, "--key-file", folder / "other"], "authentication failed")
        self.one_line(69, ["bench", "messaging", "--peer", address], "authentication failed")
        self.assertTrue(server.running, server.story())

    def test_a_peer_that_is_killed_ends_the_measurement_at_once(self):
        bench = self.own(Process([binary(), "bench", "messaging", "--scenario", "pingpong-flag", "--iterations", "100000000"]), "kill")
        (peer,) = wait_for(lambda: children(bench.pid), 10, bench.story())
        wait_for(lambda: "scenario" in " ".join(bench.lines), 10, bench.story())
        os.kill(peer, signal.SIGKILL)
        started = time.monotonic()
        self.assertEqual(bench.wait(5), 75, bench.story())
        self.assertRegex("\n".join(bench.errors), "peer lost")
        self.assertLess(time.monotonic() - started, 2)

    def test_a_killed_measurement_leaves_no_process_behind(self):
        bench = self.own(Process([binary(), "bench", "messaging", "--scenario", "pingpong-flag", "--iterations", "100000000"]), "kill")
        (peer,) = wait_for(lambda: children(bench.pid), 10, bench.story())
        wait_for(lambda: "scenario" in " ".join(bench.lines), 10, bench.story())
        bench.signal(signal.SIGKILL)
        bench.wait(5)
        wait_for(lambda: not pathlib.Path(f"/proc/{peer}").exists(), 5, "the other process to end")

    def test_mistakes_get_one_line_and_2(self):
        for words, pattern in (
            (["--scenario", "large"], "large-array"),
            (["--api", "other"], "callback"),
            (["--size", "much"], "--size.*'much'"),
            (["--iterations", "0"], "large-array"),
            (["--concurrency", "5000"], "4096"),
            (["--peer", "box"], "port"),
            (["--peer", "box:70000"], "70000"),
            (["--listen", "127.0.0.1:0", "--peer", "box:1"], "exclude each other"),
            (["--key-file", "/nowhere/key"], "/nowhere/key"),
        ):
            with self.subTest(words=words):
                self.one_line(2, ["bench", "messaging", *words], pattern)

    def test_nobody_there_is_for_now(self):
        self.one_line(75, ["bench", "messaging", "--peer", "127.0.0.1:1"], "not connected")
