"""What the package shows: every public name is documented, typed, and what its types say."""

import ast
import inspect
import pydoc
import re
import unittest

from support import PACKAGE, REPOSITORY, causeway

import causeway.starway as starway
from causeway import _native, bench

STUB = ast.parse((PACKAGE / "causeway/_native.pyi").read_text())
HEADER = (REPOSITORY / "Sources/C/CMessaging/include/causeway_messaging.h").read_text()


def members(kind: type):
    """The public members that are ours."""
    ours = {name for base in kind.__mro__ if base.__module__.startswith("causeway") for name in vars(base)}
    for name, member in inspect.getmembers(kind):
        if not name.startswith("_") and name in ours:
            yield name, member


def parameters(function: ast.FunctionDef) -> list[tuple[str, bool]]:
    """Name and whether it has a default, without `self` or `cls`."""
    names = [each.arg for each in [*function.args.posonlyargs, *function.args.args]]
    return [(name, index >= len(names) - len(function.args.defaults)) for index, name in enumerate(names)][1:]


class Surface(unittest.TestCase):
    def test_every_public_name_has_words(self):
        for module in (causeway, starway):
            self.assertTrue(inspect.getdoc(module))
            for name in module.__all__:
                shown = getattr(module, name)
                with self.subTest(name):
                    self.assertTrue(inspect.getdoc(shown))
                    if isinstance(shown, type):
                        self.assertEqual([each for each, member in members(shown) if not isinstance(member, int) and not inspect.getdoc(member)], [])
        self.assertIn("send_many(self, /, buffers, tags, timeout=None", pydoc.render_doc(causeway.Client, renderer=pydoc.plaintext))

    def test_every_error_is_shown_and_has_its_code(self):
        errors = {name: kind for name, kind in vars(causeway.errors).items() if isinstance(kind, type) and issubclass(kind, causeway.Error)}
        self.assertEqual(sorted(errors), causeway.errors.__all__)
        for name in errors:
            self.assertIs(getattr(causeway, name), errors[name])
        declared = {int(code) for code in re.findall(r"\bCWM_\w+ = (-\d+)", HEADER)}
        told = {kind.code for kind in errors.values()} - {_native.QUEUE_FULL}
        self.assertGreater(len(told), 10)
        self.assertLessEqual(told, declared)
        self.assertEqual(declared - told, {-16})  # CWM_NOT_FOUND, which is no error

    def test_the_builtin_that_each_error_is_too(self):
        for kind, builtin in (
            (causeway.TimedOutError, TimeoutError),
            (causeway.PeerLostError, ConnectionError),
            (causeway.NotConnectedError, ConnectionError),
            (causeway.ClosedError, RuntimeError),
            (causeway.ForkedError, RuntimeError),
            (causeway.InvalidError, ValueError),
            (causeway.WouldBlockError, BlockingIOError),
            (causeway.KeyRefusedError, PermissionError),
            (causeway.AddressInUseError, OSError),
            (causeway.UCXNotFoundError, ImportError),
            (causeway.OutOfMemoryError, MemoryError),
        ):
            self.assertTrue(issubclass(kind, builtin) and issubclass(kind, causeway.Error))

    def test_the_types_are_what_there_is(self):
        classes = {each.name: each for each in STUB.body if isinstance(each, ast.ClassDef)}
        for name in ("Engine", "Mailbox", "Endpoint", "Message", "Operation"):
            kind, stub = getattr(_native, name), classes[name]
            bodies = [stub, *[classes[base.id] for base in stub.bases]]
            typed = {each.name: each for body in bodies for each in body.body if isinstance(each, ast.FunctionDef)}
            shown = {each for each, _ in members(kind)}
            self.assertEqual(shown, {each for each in typed if not each.startswith("_")})
            for each in sorted(shown):
                member = inspect.getattr_static(kind, each)
                if inspect.isgetsetdescriptor(member):
                    continue
                with self.subTest(f"{name}.{each}"):
                    signature = inspect.signature(getattr(kind, each)).parameters.values()
                    found = [(one.name, one.default is not one.empty) for one in signature if one.name != "self"]
                    self.assertEqual(found, parameters(typed[each]))

    def test_every_parameter_that_is_shown_is_taken(self):
        server = causeway.Server()
        for kind in (_native.Mailbox, _native.Endpoint):
            for name, member in members(kind):
                if not callable(member) or name in ("on_accept", "transports", "counters", "evaluate_performance"):
                    continue
                for parameter in list(inspect.signature(member).parameters)[1:]:
                    with self.subTest(f"{name}({parameter}=)"), self.assertRaises(TypeError) as caught:
                        getattr(server, name)(**{parameter: None, "nonsense": None})
                    self.assertIn("unexpected argument 'nonsense'", str(caught.exception))

    def test_the_documented_calls_are_there_and_take_a_deadline(self):
        table = (REPOSITORY / "docs/messaging-python.md").read_text().partition("## Three ways to wait")[2].partition("`x` is")[0]
        rows = [[re.findall(r"`[^`]*?(\w+)(?:\(.*?\))?`", cell) for cell in line.split("|")[2:5]] for line in table.splitlines() if "`" in line]
        self.assertEqual(len(rows), 6)
        for asynchronous, blocking, calling in rows:
            for name in [*asynchronous, *blocking, *calling]:
                if name in ("server", "on_accept"):
                    continue  # `async for endpoint in server`; and whoever is accepted has no deadline
                kinds = [kind for kind in (causeway.Server, causeway.Client, causeway.Endpoint) if hasattr(kind, name)]
                self.assertTrue(kinds, name)
                for kind in kinds:
                    self.assertIn("timeout", inspect.signature(getattr(kind, name)).parameters, name)
            for name in asynchronous:
                if name not in ("server",):
                    self.assertTrue(name + "_sync" in blocking, name)
        self.assertTrue(hasattr(causeway.Server, "__aiter__"))

    def test_programs_are_documented(self):
        self.assertIn("Starway", bench.build_parser().format_help())


if __name__ == "__main__":
    unittest.main()
