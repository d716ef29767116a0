"""Name servers through resolvconf and resolvectl: programs of ours stand in for them, in a mount namespace of each command."""

import os
import pathlib
import signal

from harness.bond import BondCase, Keys, section, unique_name
from harness.netns import Host
from harness.processes import Process, Scratch, binary, run, tool, wait_for

RUNTIME = pathlib.Path("/run/causeway/bond")
STAND_IN = """#!/bin/sh
{{ echo "$@"; if [ "$1" = -a ]; then sed 's/^/< /'; fi; }} >> {trace}
exit $(cat {code})
"""


class NameServers(BondCase):
    needs = ("causeway", "network", "wg")

    def setUp(self):
        self.host = self.own(Host(f"cwb{os.getpid()}-{unique_name('d')[-3:]}d"), "remove")
        self.scratch = self.own(Scratch("causeway-bond-dns"), "remove")
        self.trace, self.code, self.folder = self.scratch / "trace", self.scratch / "code", self.scratch / "sbin"
        self.folder.mkdir()
        self.name = unique_name("n")
        self.addCleanup(self.forget)
        self.path = self.scratch / f"{self.name}.conf"
        text = section("Interface", PrivateKey=Keys().private, Threads=1, Address="10.203.0.1/24", DNS="10.203.0.53, fd03::53, example.org")
        self.path.write_text(text + section("Peer", PublicKey=Keys().public, AllowedIPs="10.204.0.0/16"))
        self.path.chmod(0o600)

    def forget(self):
        for path in (*RUNTIME.glob(f"{self.name}.*"), pathlib.Path(f"/var/lib/causeway/bond/{self.name}.state")):
            path.unlink(missing_ok=True)

    def install(self, program: str, code: int = 0):
        self.code.write_text(str(code))
        path = self.folder / program
        path.write_text(STAND_IN.format(trace=self.trace, code=self.code))
        path.chmod(0o755)

    @property
    def words(self) -> list:
        """Before a command: it alone sees the folder in the place where such programs are looked for first."""
        # In a chroot the root is no mount, whose propagation could be changed: then whoever made the chroot has seen to it.
        script = 'mount --make-rprivate / 2>/dev/null; mount --bind "$0" /usr/local/sbin && exec "$@"'
        return [tool("unshare"), "-m", "--propagation", "unchanged", "sh", "-c", script, str(self.folder), binary(), "bond"]

    def bond(self, *words) -> tuple[int, str, str]:
        return run([*self.words, *words], prefix=self.host.prefix)

    def up(self) -> Process:
        process = self.own(self.host.start([*self.words, "up", self.path]), "kill")
        wait_for(lambda: self.name in process.lines or not process.running, 10, f"up: {process.story()}", every=0.02)
        self.assertIn(self.name, process.lines, process.story())
        return process

    def traced(self) -> list[str]:
        return self.trace.read_text().splitlines() if self.trace.exists() else []

    def world(self) -> str:
        return self.host.run("ip -br link").stdout + self.host.run("ip route show table all").stdout

    def test_resolvconf_is_told_and_told_again_when_it_is_over(self):
        self.install("resolvconf")
        before = self.world()
        process = self.up()
        (first, *lines) = self.traced()
        told = first.split()
        self.assertEqual((told[0], told[2:]), ("-a", ["-m", "0", "-x"]))
        self.assertTrue(told[1].endswith(self.name))
        self.assertEqual(lines, ["< nameserver 10.203.0.53", "< nameserver fd03::53", "< search example.org"])
        self.assertEqual(self.bond("down", self.name)[0], 0)
        self.assertEqual(process.wait(5), 0)
        self.assertEqual(self.traced()[4:], [f"-d {told[1]} -f"])
        self.assertEqual(self.world(), before)

    def test_resolvectl_is_told_and_told_again_when_it_is_over(self):
        self.install("resolvectl")
        process = self.up()
        self.assertEqual(self.traced(), [f"dns {self.name} 10.203.0.53 fd03::53", f"domain {self.name} ~. example.org"])
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(5), 0)
        self.assertEqual(self.traced()[2:], [f"revert {self.name}"])

    def test_when_it_fails_nothing_has_changed(self):
        for program in ("resolvconf", "resolvectl"):
            with self.subTest(program):
                for old in self.folder.iterdir():
                    old.unlink()
                self.trace.unlink(missing_ok=True)
                self.install(program, code=3)
                before = self.world()
                code, out, errors = self.bond("up", self.path)
                self.assertEqual((code, out), (1, ""))
                self.assertIn(program, errors)
                self.assertEqual(self.world(), before)
                self.assertIn(self.traced()[-1].split()[0], ("-d", "revert"), "whatever it did is taken back")
                self.assertFalse((RUNTIME / f"{self.name}.undo").exists())

    def test_after_sigkill_it_is_taken_back_first(self):
        self.install("resolvconf")
        process = self.up()
        family = [int(word) for word in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        os.kill(process.pid, signal.SIGKILL)
        process.wait(5)
        wait_for(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in family), 5, "the end of the child", every=0.02)
        told = self.traced()[0].split()[1]
        self.assertEqual(len(self.traced()), 4)
        again = self.up()
        commands = [line for line in self.traced() if not line.startswith("<")]
        self.assertEqual(commands, [f"-a {told} -m 0 -x", f"-d {told} -f", f"-a {told} -m 0 -x"])
        again.signal(signal.SIGKILL)
        again.wait(5)
        self.assertEqual(self.bond("down", self.name)[0], 0)
        self.assertEqual(self.traced()[-1], f"-d {told} -f", "down takes it back too")
