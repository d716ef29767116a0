"""What the tests of the Python package share."""

import contextlib
import os
import pathlib
import subprocess
import sys
import textwrap
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "python"
sys.path.insert(0, str(PACKAGE))

import causeway  # noqa: E402

try:
    import numpy
except ImportError:  # optional for the package, so for its tests
    numpy = None


class Pair(unittest.IsolatedAsyncioTestCase):
    """A server, a client, and the endpoint between them."""

    async def asyncSetUp(self):
        self.server, self.client = causeway.Server(), causeway.Client()
        self.server.listen("127.0.0.1")
        await self.client.connect("127.0.0.1", self.server.port, timeout=20)
        self.endpoint = await self.server.accept(timeout=20)

    async def asyncTearDown(self):
        for each in (self.client, self.server):
            if not each.is_closed:
                with contextlib.suppress(causeway.TimedOutError):  # a test may have left messages that nobody received
                    await each.close(timeout=0.5)


def program(text: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs a Python program of its own to its end."""
    return start(text, *arguments, **environment, wait=True)


def start(text: str, *arguments: str, wait: bool = False, **environment: str):
    words = [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(text), *arguments]
    variables = {**os.environ, "PYTHONPATH": str(PACKAGE), **environment}
    if wait:
        return subprocess.run(words, env=variables, capture_output=True, text=True, timeout=120)
    return subprocess.Popen(words, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
