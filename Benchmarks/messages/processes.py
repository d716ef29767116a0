"""Two processes of a measurement: each in a session of its own that goes before other sessions' work, bounded in time."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

LIMIT = 40.0


class Failed(Exception):
    """A run that gave no figures."""


class Child:
    """A process whose standard output is read line by line; ended with its session."""

    def __init__(self, words, environment=None, core=None):
        if core is not None:
            words = ["taskset", "-c", str(core), *words]
        self.errors = tempfile.TemporaryFile()
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("UCX_", "CAUSEWAY_", "STARWAY_"))}
        kept = {key: value for key, value in os.environ.items() if key == "CAUSEWAY_UCX"}
        self.child = subprocess.Popen(
            [str(word) for word in words], env={**clean, **kept, **(environment or {})}, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
        )  # fmt: skip
        self.end = time.monotonic() + LIMIT
        # Sessions share the processors evenly whatever niceness their processes have (sched_autogroup).
        with contextlib.suppress(OSError):
            pathlib.Path(f"/proc/{self.child.pid}/autogroup").write_text("-20")
        os.set_blocking(self.child.stdout.fileno(), False)
        self.buffer = b""

    @property
    def pid(self) -> int:
        return self.child.pid

    def line(self, pattern: str) -> re.Match:
        """Waits for a line that matches; Failed when the process ends or its time is up."""
        while True:
            while b"\n" in self.buffer:
                line, _, self.buffer = self.buffer.partition(b"\n")
                found = re.search(pattern, line.decode(errors="replace"))
                if found:
                    return found
            chunk = self.child.stdout.read(65536)
            if chunk:
                self.buffer += chunk
            elif chunk == b"":
                raise Failed(f"{self.child.args[0]} ended with {self.child.wait()}: {self.complaint()}")
            elif time.monotonic() > self.end:
                raise Failed(f"{' '.join(self.child.args[:4])}: nothing in {LIMIT:.0f} s")
            else:
                time.sleep(0.002)

    def say(self):
        self.child.stdin.write(b"\n")
        self.child.stdin.flush()

    def finish(self) -> str:
        """Everything that it writes until its end."""
        with contextlib.suppress(Failed):
            self.line("(?!)")
        return self.buffer.decode(errors="replace")

    def complaint(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").strip()[-300:]

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()
        self.errors.close()

    def cpu_seconds(self) -> float:
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Private bytes in memory; shared segments count in the process that touched them."""
        text = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return 1024 * int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))


@contextlib.contextmanager
def children():
    """Stops whatever was started in it."""
    started: list[Child] = []

    def start(*arguments, **more) -> Child:
        child = Child(*arguments, **more)
        started.append(child)
        return child

    try:
        yield start
    finally:
        for child in reversed(started):
            child.stop()


def wait_listening(port: int, seconds: float = 5):
    """Waits until somebody listens, without connecting: a benchmark would take that for its peer."""
    wanted = f":{port:04X} "
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in pathlib.Path(table).read_text().splitlines()[1:]:
                if wanted in line[:40] and line.split()[3] == "0A":
                    return
        time.sleep(0.005)
    raise Failed(f"nobody listens on port {port}")
