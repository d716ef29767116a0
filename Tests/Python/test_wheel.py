"""The wheel, in a bare root of Debian with python3, pip and UCX, but without Swift or anything that was built here."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import bare
from support import PACKAGE, REPOSITORY

LIBRARY = PACKAGE / "causeway/lib/libcauseway_messaging.so"

EXCHANGE = """
import subprocess, sys, causeway
server = causeway.Server()
server.listen("127.0.0.1")
peer = "import sys, causeway; c = causeway.Client(); c.connect_sync('127.0.0.1', int(sys.argv[1])); c.send_sync(b'hello', 7); c.close_sync()"
child = subprocess.Popen([sys.executable, "-c", peer, str(server.port)])
message = server.recv_message_sync(timeout=30)
print(bytes(message).decode(), message.tag, child.wait(), causeway.info()["source"], causeway.__file__)
"""


def is_debian_12() -> bool:
    release = pathlib.Path("/etc/os-release")
    return release.exists() and 'VERSION_ID="12"' in release.read_text()


@unittest.skipUnless(bare.is_possible() and is_debian_12(), "needs root and Debian 12")
class Wheel(unittest.TestCase):
    def test_it_installs_and_sends_a_message_where_there_is_no_swift(self):
        build = REPOSITORY / ".build"  # on the disk of the files that are linked, not in memory
        build.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=build) as folder:
            root, dist = pathlib.Path(folder, "root"), pathlib.Path(folder, "dist")
            root.mkdir()
            bare.make(root, ["python3", "python3-pip", "libucx0"])
            words = [sys.executable, REPOSITORY / "scripts/wheel.py", "--library", LIBRARY, "--to", dist]
            built = subprocess.run(words, capture_output=True, text=True)
            self.assertEqual(built.returncode, 0, built.stdout + built.stderr)
            (wheel,) = dist.glob("causeway-*-cp311-abi3-manylinux_2_36_x86_64.whl")
            shutil.copy(wheel, root / "tmp")
            (root / "tmp/exchange.py").write_text(EXCHANGE)
            done = bare.run(
                root,
                f"""
                ! command -v swift
                ! find / -xdev -name 'libswift*' | grep .
                python3 -m pip install --quiet --no-index --break-system-packages --root-user-action=ignore /tmp/{wheel.name}
                cd /tmp && python3 exchange.py
                """,
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
            self.assertRegex(done.stdout, r"^hello 7 0 system /usr/local/lib/python3\.11/dist-packages/causeway/__init__\.py\n$")


if __name__ == "__main__":
    unittest.main()
