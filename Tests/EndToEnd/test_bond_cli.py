"""A bond from its user's side: files and their rights, hooks, routes, name servers, clean-up, also after SIGKILL."""

import json
import os
import pathlib
import re
import signal
import stat
import time

from harness.bond import BondCase, BondEnd, Keys, section, unique_name
from harness.netns import Host, Link, command
from harness.processes import Process, Scratch, binary, run, tool, wait_for

RUNTIME = pathlib.Path("/run/causeway/bond")


def children(pid: int) -> list[int]:
    return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class CommandLine(BondCase):
    """One namespace is enough: the other end need not be there."""

    needs = ("causeway", "network", "wg", "ping")

    def setUp(self):
        self.host = self.own(Host(f"cwb{os.getpid()}-{unique_name('h')[-3:]}h"), "remove")
        self.scratch = self.own(Scratch("causeway-bond-cli"), "remove")
        self.keys, self.other = Keys(), Keys()
        self.name = unique_name("x")
        self.addCleanup(self.forget, self.name)
        self.path = self.scratch / f"{self.name}.conf"
        self.trace = self.scratch / "trace"

    def forget(self, name: str):
        """What a killed bond leaves; tests that end by a kill clean up after it."""
        for path in (*RUNTIME.glob(f"{name}.*"), pathlib.Path(f"/var/lib/causeway/bond/{name}.state")):
            path.unlink(missing_ok=True)

    def write(self, peer=None, mode: int = 0o600, **interface) -> pathlib.Path:
        text = section("Interface", PrivateKey=self.keys.private, Threads=1, **interface)
        text += section("Peer", PublicKey=self.other.public, **(peer or {"AllowedIPs": "10.200.0.0/16"}))
        self.path.write_text(text)
        self.path.chmod(mode)
        return self.path

    def bond(self, *words, seconds: float = 20):
        return run([binary(), "bond", *words], prefix=self.host.prefix, seconds=seconds)

    def up(self) -> Process:
        process = self.own(self.host.start([binary(), "bond", "up", self.path]), "kill")
        wait_for(lambda: self.name in process.lines or not process.running, 10, f"up: {process.story()}", every=0.02)
        self.assertIn(self.name, process.lines, process.story())
        return process

    def ip(self, words: str) -> str:
        return self.host.run([tool("ip"), *words.split()], check=False).stdout

    def hooks(self) -> dict:
        return {
            key: [f"echo {key} %i >> {self.trace}"] for key in ("PreUp", "PostUp", "PreDown", "PostDown")
        }

    def traced(self) -> list[str]:
        return self.trace.read_text().splitlines() if self.trace.exists() else []

    def left_behind(self) -> str:
        return self.ip("link show") + self.ip("rule") + self.ip("-6 rule")

    # Keys and checks

    def test_keys_are_as_wg_makes_them(self):
        code, private, _ = self.bond("keygen")
        self.assertEqual((code, len(private)), (0, 44))
        done = command([tool("wg"), "pubkey"], input=private + "\n")
        code, public, _ = run([binary(), "bond", "pubkey"], stdin=private + "\n")
        self.assertEqual((code, public), (0, done.stdout.strip()))
        self.assertEqual(len({self.bond("genpsk")[1] for _ in range(3)}), 3)

    def test_check_explains_and_changes_nothing(self):
        self.write(Scheduler="redundant", peer={"AllowedIPs": "0.0.0.0/0", "Path": ["192.0.2.1:1 via eth9 rate=20mbit", "192.0.2.1:1 backup"]})
        before = self.left_behind()
        code, text, errors = self.bond("check", self.path)
        self.assertEqual((code, errors), (0, ""))
        for part in (self.name, "Becomes the default route", "Scheduler redundant", "out of eth9 only, at most 20 Mbit/s up", "only when no other path works"):
            self.assertIn(part, text)
        self.assertNotIn(self.keys.private, text)
        self.assertEqual(self.left_behind(), before)

    def test_a_mistake_names_file_line_and_field(self):
        self.write(MTU=500)
        for words in (("check", self.path), ("up", self.path)):
            code, out, errors = self.bond(*words)
            self.assertEqual((code, out), (2, ""))
            self.assertRegex(errors, rf"{self.name}\.conf:4:7: \[Interface\] MTU: expected an MTU 1280-9000, got '500'")

    # Rights

    def test_hooks_of_a_file_that_others_can_write_are_refused(self):
        self.write(mode=0o666, **self.hooks())
        code, _, errors = self.bond("up", self.path)
        self.assertEqual(code, 2)
        self.assertIn("others can write", errors)
        self.assertEqual(self.traced(), [])
        os.chown(self.path, 1234, 1234)
        self.path.chmod(0o600)
        self.assertEqual(self.bond("up", self.path)[0], 2)

    def test_files_and_child_have_no_more_rights_than_they_need(self):
        self.write(peer={"AllowedIPs": "10.200.0.0/16", "Path": "192.0.2.1:51820 via lo"})
        process = self.up()
        for name in ("sock", "undo", "lock"):
            self.assertEqual(stat.S_IMODE((RUNTIME / f"{self.name}.{name}").stat().st_mode), 0o600, name)
        self.assertEqual(stat.S_IMODE(RUNTIME.stat().st_mode), 0o700)
        (child,) = children(process.child.pid)
        status = dict(re.findall(r"^(\w+):\s*(.*)$", pathlib.Path(f"/proc/{child}/status").read_text(), re.M))
        self.assertEqual(status["Uid"].split(), ["65534"] * 4)
        self.assertEqual(status["Gid"].split(), ["65534"] * 4)
        self.assertEqual(int(status["CapPrm"], 16), 1 << 12 | 1 << 13, "CAP_NET_ADMIN, and CAP_NET_RAW for a device")
        self.assertEqual(int(status["CapEff"], 16), 1 << 12 | 1 << 13)
        self.assertEqual(int(status["CapBnd"], 16), 1 << 12 | 1 << 13)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(pathlib.Path(f"/proc/{child}/environ").stat().st_uid, 0, "not dumpable: its memory is nobody's")
        self.assertNotIn(self.keys.private, " ".join(pathlib.Path(f"/proc/{child}/cmdline").read_text().split("\0")))

    # Up and down

    def test_everything_comes_and_goes_in_order(self):
        self.write(Address=["10.201.0.1/24", "fd01::1/64"], MTU=1380, peer={"AllowedIPs": "10.200.0.0/16, fd02::/64"}, **self.hooks())
        before = self.left_behind()
        process = self.up()
        link = json.loads(self.ip(f"-j addr show {self.name}"))[0]
        self.assertEqual(link["mtu"], 1380)
        self.assertTrue({"10.201.0.1", "fd01::1"} <= {address["local"] for address in link["addr_info"]})
        self.assertIn(f"10.200.0.0/16 dev {self.name}", self.ip("route"))
        self.assertIn(f"fd02::/64 dev {self.name}", self.ip("-6 route"))
        self.assertEqual(self.traced(), [f"PreUp {self.name}", f"PostUp {self.name}"])
        code, _, errors = self.bond("up", self.path)
        self.assertEqual(code, 1)
        self.assertIn("runs already", errors)
        self.assertEqual(self.bond("reload", self.name)[0], 0)
        self.assertEqual(self.bond("down", self.name)[0], 0)
        self.assertEqual(process.wait(5), 0)
        self.assertEqual(self.traced(), [f"{key} {self.name}" for key in ("PreUp", "PostUp", "PreDown", "PostDown")])
        self.assertEqual(self.left_behind(), before)
        self.assertFalse((RUNTIME / f"{self.name}.undo").exists() or (RUNTIME / f"{self.name}.sock").exists())
        self.assertEqual(self.bond("down", self.name)[0], 1)

    def test_a_default_route_goes_by_policy_and_goes_away(self):
        self.write(peer={"AllowedIPs": "0.0.0.0/0, ::/0"})
        self.host.sysctl("net.ipv4.conf.all.rp_filter", 1)
        before = self.left_behind()
        process = self.up()
        self.assertRegex(self.ip("rule"), r"32764:.*main suppress_prefixlength 0\n32765:\s*not from all fwmark 0xca6c lookup 51820")
        self.assertIn(f"default dev {self.name}", self.ip("route show table 51820"))
        self.assertIn(f"default dev {self.name}", self.ip("-6 route show table 51820"))
        control = lambda name: self.host.run(["cat", f"/proc/sys/net/ipv4/conf/all/{name}"]).stdout.strip()
        self.assertEqual((control("src_valid_mark"), control("rp_filter")), ("1", "2"))
        process.child.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(5), 0)
        self.assertEqual(self.left_behind(), before)
        self.assertEqual((control("src_valid_mark"), control("rp_filter")), ("0", "1"))

    def test_a_hook_that_fails_takes_everything_back(self):
        hooks = self.hooks() | {"PostUp": ["false"]}
        self.write(**hooks)
        before = self.left_behind()
        code, out, errors = self.bond("up", self.path)
        self.assertEqual((code, out), (1, ""))
        self.assertIn("the command 'false' failed: exit code 1", errors)
        self.assertEqual(self.traced(), [f"{key} {self.name}" for key in ("PreUp", "PreDown", "PostDown")])
        self.assertEqual(self.left_behind(), before)

    def test_an_interface_of_somebody_else_is_left_alone(self):
        self.ip(f"link add {self.name} type veth peer name {self.name[:-1]}y")
        self.write()
        code, _, errors = self.bond("up", self.path)
        self.assertEqual(code, 1)
        self.assertIn("exists already", errors)
        self.assertIn(self.name, self.ip("link show"))

    def test_after_sigkill_the_next_start_cleans_up_first(self):
        self.write(peer={"AllowedIPs": "0.0.0.0/0"}, **self.hooks())
        before = self.left_behind()
        process = self.up()
        (child,) = children(process.child.pid)
        os.kill(process.child.pid, signal.SIGKILL)
        process.wait(5)
        wait_for(lambda: not pathlib.Path(f"/proc/{child}").exists(), 3, "the end of the child", every=0.02)
        self.assertIn("lookup 51820", self.ip("rule"))
        self.assertEqual(self.bond("status", self.name)[0], 1)
        again = self.up()
        self.assertEqual(self.ip("rule").count("lookup 51820"), 1, "the same table is free again")
        names = [line.split()[0] for line in self.traced()]
        self.assertEqual(names, ["PreUp", "PostUp", "PreDown", "PostDown", "PreUp", "PostUp"])
        os.kill(again.child.pid, signal.SIGKILL)
        again.wait(5)
        self.assertEqual(self.bond("down", self.name)[0], 0, "down cleans up too")
        self.assertEqual(self.left_behind(), before)
        self.assertFalse((RUNTIME / f"{self.name}.sock").exists())

    def test_a_child_that_dies_ends_the_bond(self):
        self.write()
        process = self.up()
        (child,) = children(process.child.pid)
        os.kill(child, signal.SIGKILL)
        self.assertEqual(process.wait(5), 1)
        self.assertIn("the packet process ended by itself: signal 9", process.story())
        self.assertNotIn(self.name, self.ip("link show"))

    def test_without_a_tool_for_name_servers_nothing_changes(self):
        if any(pathlib.Path(folder, name).exists() for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin") for name in ("resolvconf", "resolvectl")):
            self.skipTest("resolvconf or resolvectl is installed here")
        self.write(DNS="1.1.1.1", **self.hooks())
        code, _, errors = self.bond("up", self.path)
        self.assertEqual(code, 1)
        self.assertIn("neither is installed", errors)
        self.assertEqual(self.traced(), [])

    def test_systemd_is_told(self):
        import socket

        self.write()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind(str(self.scratch / "notify"))
        listener.settimeout(5)
        process = self.own(
            self.host.start([binary(), "bond", "up", self.path], env={"NOTIFY_SOCKET": str(self.scratch / "notify")}), "kill")
        self.assertIn("READY=1", listener.recv(1000).decode())
        process.child.send_signal(signal.SIGHUP)
        self.assertIn("RELOADING=1", listener.recv(1000).decode())
        self.assertIn("READY=1", listener.recv(1000).decode())
        process.child.send_signal(signal.SIGINT)
        self.assertIn("STOPPING=1", listener.recv(1000).decode())
        self.assertEqual(process.wait(5), 0)

    def test_status_of_a_bond_as_table_and_json(self):
        self.write(Address="10.201.0.1/24")
        self.up()
        code, text, _ = self.bond("status", self.name)
        self.assertEqual(code, 0)
        self.assertIn(self.name, text)
        self.assertTrue(all(len(line) < 80 for line in text.splitlines()), text)
        status = json.loads(self.bond("status", self.name, "--json")[1])
        self.assertEqual((status["name"], status["mtu"], status["public_key"]), (self.name, 1400, self.keys.public))
        self.assertEqual([peer["public_key"] for peer in status["peers"]], [self.other.public])
        self.assertNotIn(self.keys.private, text + json.dumps(status))

    def test_metrics_are_served_and_a_port_that_is_taken_does_not_end_the_bond(self):
        def logged(process: Process, pattern: str) -> str:
            def find():
                return re.search(pattern, "\n".join(process.errors))

            wait_for(find, 10, f"{pattern}: {process.story()}", every=0.05)
            return find()[0]

        self.write(Metrics="127.0.0.1:0")
        first = self.up()
        url = logged(first, r"http://127\.0\.0\.1:\d+/metrics")
        page = self.host.run([tool("curl"), "-sS", "--max-time", "5", url]).stdout
        self.assertRegex(page, rf'(?m)^causeway_bond_uptime_seconds{{interface="{self.name}"}} ')
        self.assertIn("# TYPE causeway_bond_peer_transmit_bytes_total counter", page)
        taken = url.removeprefix("http://").removesuffix("/metrics")
        self.name = unique_name("x")
        self.addCleanup(self.forget, self.name)
        self.path = self.scratch / f"{self.name}.conf"
        self.write(peer={"AllowedIPs": "10.201.0.0/16"}, Metrics=taken)
        second = self.up()
        logged(second, f"no metrics at {re.escape(taken)}")
        self.assertTrue(second.running, second.story())

    def test_two_ends_of_multipaths_json_find_each_other(self):
        net = self.network([Link()])
        secret = self.bond("genpsk")[1]
        names = {side: unique_name("j") for side in ("client", "server")}
        for name in names.values():
            self.addCleanup(self.forget, name)
        tun = {"client": ("10.202.0.2", "10.202.0.1"), "server": ("10.202.0.1", "10.202.0.2")}
        texts = {
            "server": {"isServer": True, "server": {"listen": ":2500"}},
            "client": {"client": {"remotePaths": [{"remoteAddr": "10.77.0.2:2500", "weight": 1}]}},
        }
        for side, host, port in (("server", net.server, 21310), ("client", net.client, 21311)):
            path = self.scratch / f"{side}.json"
            local, remote = tun[side]
            path.write_text(json.dumps(texts[side] | {
                "secret": secret, "promListenAddr": f"127.0.0.1:{port}",
                "tun": {"name": names[side], "localAddr": local, "remoteAddr": remote, "allowedIPs": []}}))
            path.chmod(0o644)
            code, _, errors = run([binary(), "bond", "check", path], seconds=20)
            self.assertEqual(code, 2)
            self.assertIn("secret: others can read this file", errors)
            path.chmod(0o600)
            process = self.own(host.start([binary(), "bond", "-config", path]), "kill")
            wait_for(lambda: names[side] in process.lines, 15, f"up: {process.story()}", every=0.05)
        wait_for(
            lambda: net.client.run(["ping", "-c", "1", "-W", "1", "10.202.0.1"], check=False).returncode == 0, 10, "a ping through the bond")
