"""The C ABI: a C program does every operation, and the library has what its header declares, and no more."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from support import PACKAGE, REPOSITORY

LIBRARY = PACKAGE / "causeway/lib/libcauseway_messaging.so"
HEADER = REPOSITORY / "Sources/C/CMessaging/include/causeway_messaging.h"


class ABI(unittest.TestCase):
    def test_every_operation_from_c(self):
        with tempfile.TemporaryDirectory() as folder:
            binary = pathlib.Path(folder, "every_operation")
            words = [os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", f"-I{HEADER.parent}"]
            words += [REPOSITORY / "Tests/MessagingC/every_operation.c", "-o", binary]
            words += [f"-L{LIBRARY.parent}", "-lcauseway_messaging", f"-Wl,-rpath,{LIBRARY.parent}"]
            built = subprocess.run(words, capture_output=True, text=True)
            self.assertEqual(built.returncode, 0, built.stderr)
            done = subprocess.run([binary], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.split(), ["misuse", "messages", "mixtures", "endpoints", "addresses", "closes", "engines", "options"])

    def test_what_the_header_declares_is_exported(self):
        declared = set(re.findall(r"\b(cwm_\w+)\(", re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)))
        listed = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True, check=True).stdout
        exported = {line.split()[2] for line in listed.splitlines() if " T " in line}
        self.assertLessEqual(declared, exported)
        self.assertEqual({name for name in exported if name.startswith("cwm_")}, declared)


if __name__ == "__main__":
    unittest.main()
