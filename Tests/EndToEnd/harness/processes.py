"""Processes with an owner: started in a session of their own, ended by id, measured from /proc."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


def binary() -> str | None:
    """The program under test: CAUSEWAY_BIN, else the release build; None when neither is there."""
    path = os.environ.get("CAUSEWAY_BIN") or str(REPOSITORY / "build" / "causeway")
    return path if os.access(path, os.X_OK) else None


def tool(name: str) -> str | None:
    """A program's path; looks in sbin too, where a user's PATH may not."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago, for programs that cannot choose one themselves."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def wait_for(condition, seconds: float = 5, what: str = "a condition", every: float = 0.01):
    """The first true value of `condition()`; AssertionError naming `what` when the time is up."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(every)


def listening(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), 0.5).close()
        return True
    except OSError:
        return False


class Process:
    """A child in its own session. Its two outputs are read by threads, so that it never blocks on a full pipe.

    `lines` holds everything of standard output so far, `errors` the same of standard error; both have a bound that
    a test never meets in good health (`MAX_LINES`, oldest dropped).
    """

    MAX_LINES = 200_000

    def __init__(self, arguments, env=None, cwd=None, stdin=None, prefix=()):
        self.arguments = [str(a) for a in arguments]
        clean = {k: v for k, v in os.environ.items() if not re.match(r"(?i)(causeway_|.*_proxy$)", k)}
        clean.update(env or {})
        self.child = subprocess.Popen(
            [*map(str, prefix), *self.arguments],
            env=clean,
            cwd=cwd,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.started = time.monotonic()
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.changed = threading.Condition()
        self.threads = [
            threading.Thread(target=self.drain, args=(self.child.stdout, self.lines), daemon=True),
            threading.Thread(target=self.drain, args=(self.child.stderr, self.errors), daemon=True),
        ]
        for thread in self.threads:
            thread.start()
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.child.stdin.write(stdin.encode() if isinstance(stdin, str) else stdin)
            with contextlib.suppress(BrokenPipeError):
                self.child.stdin.close()

    def drain(self, stream, into):
        for raw in stream:
            with self.changed:
                into.append(raw.decode("utf-8", "replace").rstrip("\n"))
                if len(into) > self.MAX_LINES:
                    del into[: self.MAX_LINES // 2]
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def running(self) -> bool:
        return self.child.poll() is None

    def story(self) -> str:
        """What it said, for the message of a failed check."""
        return f"{' '.join(self.arguments)}\n  stdout: {self.lines[-20:]}\n  stderr: {self.errors[-20:]}"

    def line(self, index: int = 0, seconds: float = 10) -> str:
        """Line `index` of standard output, waited for; AssertionError with the story when it doesn't come."""
        end = time.monotonic() + seconds
        with self.changed:
            while len(self.lines) <= index:
                left = end - time.monotonic()
                ended = not self.running and not any(t.is_alive() for t in self.threads)
                if left <= 0 or ended:
                    state = f"ended with {self.child.poll()}" if ended else f"silent for {seconds} s"
                    raise AssertionError(f"no line {index} on stdout ({state}): {self.story()}")
                self.changed.wait(min(left, 0.05))
            return self.lines[index]

    def find(self, match, seconds: float = 10, since: int = 0, errors: bool = False):
        """The first line from `since` on for which `match(line)` is true."""
        into = self.errors if errors else self.lines
        end = time.monotonic() + seconds
        seen = since
        with self.changed:
            while True:
                while seen < len(into):
                    if match(into[seen]):
                        return into[seen]
                    seen += 1
                left = end - time.monotonic()
                if left <= 0 or (not self.running and not any(t.is_alive() for t in self.threads)):
                    raise AssertionError(f"the expected line did not come within {seconds} s: {self.story()}")
                self.changed.wait(min(left, 0.05))

    def event(self, name: str, seconds: float = 10, since: int = 0) -> dict:
        """The first JSON line with this `event` from line `since` on."""

        def match(line):
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                return isinstance(value, dict) and value.get("event") == name
            return False

        return json.loads(self.find(match, seconds, since))

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, seconds: float = 10) -> int:
        try:
            code = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s: {self.story()}") from None
        for thread in self.threads:
            thread.join(2)
        return code

    def stop(self, seconds: float = 5) -> int | None:
        """Asks by SIGTERM, then insists on the whole session. Safe to call twice."""
        if self.running:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(seconds)
        return self.kill()

    def kill(self) -> int | None:
        """SIGKILL for it and what it left behind in its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(5)
        for thread in self.threads:
            thread.join(1)
        for stream in (self.child.stdout, self.child.stderr):
            with contextlib.suppress(OSError, ValueError):
                if not any(t.is_alive() for t in self.threads):
                    stream.close()
        return self.child.returncode


def run(arguments, env=None, stdin=None, seconds: float = 20, prefix=(), cwd=None) -> tuple[int, str, str]:
    """Runs to the end: exit code, standard output, standard error."""
    process = Process(arguments, env=env, stdin=stdin, prefix=prefix, cwd=cwd)
    try:
        code = process.wait(seconds)
        return code, "\n".join(process.lines), "\n".join(process.errors)
    finally:
        process.kill()


class Scratch:
    """A folder of mode 0700 that goes with its owner."""

    def __init__(self, name: str = "causeway-test"):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=name + "-"))

    def __truediv__(self, other) -> pathlib.Path:
        return self.path / other

    def __str__(self):
        return str(self.path)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


# /proc, for one process or a family. A process that ended meanwhile counts as nothing.


def family(*roots: int) -> list[int]:
    """These processes and all their descendants that live now."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
                parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found and os.path.exists(f"/proc/{pid}"):
            found.append(pid)
            todo += parents.get(pid, [])
    return found


def cpu_seconds(pids) -> float:
    """User + system time of these processes and of their children that have ended and were waited for."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(f) for f in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def proportional_bytes(pids) -> int:
    """Proportional set size of these processes together (smaps_rollup)."""
    return sum_of_rollup(pids, "Pss")


def resident_bytes(pids) -> int:
    return sum_of_rollup(pids, "Rss")


def sum_of_rollup(pids, key: str) -> int:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(key + ":"):
                    total += int(line.split()[1]) * 1024
    return total


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


