"""The README's Python example runs as it stands."""

import re
import unittest

from support import REPOSITORY, program


class Readme(unittest.TestCase):
    def test_the_example_runs(self):
        (example,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), flags=re.S)
        self.assertLessEqual(len([line for line in example.splitlines() if line.strip()]), 12)
        done = program(example)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, "7 5 b'hello'\n")
