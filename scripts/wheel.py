#!/usr/bin/env python3
"""The Python wheel, at build/dist: the C ABI with the Swift runtime inside, and the extension over it.

`wheel.py --develop` only leaves both beside the package's sources, so that `PYTHONPATH=python` imports it.
"""

import argparse
import base64
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile

REPOSITORY = pathlib.Path(__file__).parents[1].absolute()
PACKAGE = REPOSITORY / "python/causeway"
NATIVE = REPOSITORY / "python/native"
HEADERS = REPOSITORY / "Sources/C/CMessaging/include"
TAG = "cp311-abi3-manylinux_2_36_x86_64"
LIMIT = 30 << 20
# What Debian's python3 and the system bring; everything else is inside.
ALLOWED = re.compile(r"^(linux-vdso|ld-linux-x86-64|libc|libm|libdl|libpthread|librt|libgcc_s|libstdc\+\+|libcauseway_messaging)\.so")

METADATA = """\
Metadata-Version: 2.1
Name: causeway
Version: {version}
Summary: Tagged, zero-copy, full-duplex messages between processes, over OpenUCX
Requires-Python: >=3.11
Provides-Extra: ucx
Requires-Dist: libucx-cu12; extra == "ucx"
Provides-Extra: numpy
Requires-Dist: numpy; extra == "numpy"
Classifier: Operating System :: POSIX :: Linux
Classifier: Typing :: Typed
Description-Content-Type: text/markdown

{description}
"""


def run(*words, **more) -> str:
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY, **more)
    if done.returncode:
        sys.exit(f"wheel: {' '.join(map(str, words))}\n{done.stdout[-6000:]}")
    return done.stdout


def archives(folder: pathlib.Path) -> dict[str, str]:
    """An environment in which OpenSSL is found as archives only: no two distributions have the same shared objects."""
    libraries = pathlib.Path(run("pkg-config", "--variable=libdir", "openssl").strip())
    version = run("pkg-config", "--modversion", "openssl").strip()
    for name in ("libssl.a", "libcrypto.a"):
        if not (libraries / name).exists():
            sys.exit(f"wheel: no {name} in {libraries}; install libssl-dev")
        (folder / name).symlink_to(libraries / name)
    (folder / "openssl.pc").write_text(f"Name: OpenSSL\nDescription: archives\nVersion: {version}\nLibs: -L{folder} -lssl -lcrypto\n")
    return {**os.environ, "PKG_CONFIG_PATH": f"{folder}:{os.environ.get('PKG_CONFIG_PATH', '')}"}


def build_library(scratch: str) -> pathlib.Path:
    with tempfile.TemporaryDirectory() as folder:
        words = ["swift", "build", "-c", "release", "--product", "causeway_messaging", "--scratch-path", scratch]
        words += ["-Xswiftc", "-static-stdlib", "-Xswiftc", "-enforce-exclusivity=unchecked", "-Xswiftc", "-cross-module-optimization"]
        words += ["-Xlinker", "--gc-sections", "-Xlinker", f"--version-script={NATIVE / 'exports.map'}"]
        if os.environ.get("CAUSEWAY_JOBS"):
            words += ["-j", os.environ["CAUSEWAY_JOBS"]]
        run(*words, env=archives(pathlib.Path(folder)))
    return REPOSITORY / scratch / "release/libcauseway_messaging.so"


def build_extension(library: pathlib.Path, to: pathlib.Path) -> None:
    include = os.environ.get("PYTHON_INCLUDE") or sysconfig.get_paths()["include"]
    if not pathlib.Path(include, "Python.h").exists():
        sys.exit(f"wheel: no Python.h in {include}; install python3-dev")
    words = [os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-g0", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"]
    words += ["-Wno-missing-field-initializers", "-Wno-cast-function-type", f"-I{include}", f"-I{HEADERS}"]
    words += sorted(str(path) for path in NATIVE.glob("*.c"))
    run(*words, "-o", to, f"-L{library.parent}", "-lcauseway_messaging", "-Wl,-rpath,$ORIGIN/lib", "-Wl,--as-needed", "-s")


def check(path: pathlib.Path, paths_allowed: set[str]) -> None:
    dynamic = run("readelf", "-dW", path)
    for needed in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic):
        if not ALLOWED.match(needed):
            sys.exit(f"wheel: {path.name} needs {needed}, which is not everywhere")
    for places in re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", dynamic):
        if not set(places.split(":")) <= paths_allowed:
            sys.exit(f"wheel: {path.name} looks for libraries in {places}")


def strip_paths(path: pathlib.Path) -> None:
    """SwiftPM adds the toolchain's folder to the search path; `$ORIGIN` alone is left, in the same place of the file."""
    content = bytearray(path.read_bytes())
    for places in re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", run("readelf", "-dW", path)):
        old = places.encode() + b"\0"
        at = content.find(old)
        if at < 0 or content.find(old, at + 1) >= 0:
            sys.exit(f"wheel: cannot take {places} out of {path.name}")
        content[at : at + len(old)] = b"$ORIGIN".ljust(len(old), b"\0")
    path.write_bytes(content)


def licences() -> dict[str, bytes]:
    swift = pathlib.Path(shutil.which("swift") or "/").resolve().parents[1] / "share/swift/LICENSE.txt"
    found = {"SWIFT-LICENSE.txt": swift, "OPENSSL-LICENSE.txt": pathlib.Path("/usr/share/doc/libssl-dev/copyright")}
    for name, path in found.items():
        if not path.exists():
            sys.exit(f"wheel: {path} is missing; the wheel carries what it says")
    own = {path.name: path for path in REPOSITORY.glob("LICENSE*")}
    return {name: path.read_bytes() for name, path in {**found, **own}.items()}


def version() -> str:
    return re.search(r'__version__ = "(.*)"', (PACKAGE / "__init__.py").read_text())[1]


def write(to: pathlib.Path, built: dict[str, pathlib.Path]) -> pathlib.Path:
    files = {f"causeway/{path.relative_to(PACKAGE)}": path.read_bytes() for suffix in ("*.py", "*.pyi", "py.typed") for path in PACKAGE.rglob(suffix)}
    files |= {name: path.read_bytes() for name, path in built.items()}
    information = f"causeway-{version()}.dist-info"
    description = "See the repository's README and docs/messaging-python.md."
    files[f"{information}/METADATA"] = METADATA.format(version=version(), description=description).encode()
    files[f"{information}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: causeway\nRoot-Is-Purelib: false\nTag: {TAG}\n".encode()
    files |= {f"{information}/licenses/{name}": text for name, text in licences().items()}
    record = ""
    for name, content in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(content)}\n"
    files[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n".encode()
    to.mkdir(parents=True, exist_ok=True)
    wheel = to / f"causeway-{version()}-{TAG}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, (0o755 if ".so" in name else 0o644) << 16
            archive.writestr(entry, content)
    if wheel.stat().st_size > LIMIT:
        sys.exit(f"wheel: it has {wheel.stat().st_size} bytes, more than the {LIMIT} it may have")
    return wheel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--develop", action="store_true", help="no wheel: both libraries beside the sources")
    parser.add_argument("--library", type=pathlib.Path, help="this libcauseway_messaging.so instead of building it")
    parser.add_argument("--to", type=pathlib.Path, default=REPOSITORY / "build/dist", help="the wheel's folder (build/dist)")
    options = parser.parse_args()
    library = options.library or build_library(".build-wheel")
    with tempfile.TemporaryDirectory() as folder:
        built = {
            "causeway/lib/libcauseway_messaging.so": pathlib.Path(folder, "libcauseway_messaging.so"),
            "causeway/_native.abi3.so": pathlib.Path(folder, "_native.abi3.so"),
        }
        inside, extension = built.values()
        run("strip", "--strip-unneeded", "-o", inside, library)
        if not options.library:
            strip_paths(inside)
            check(inside, {"$ORIGIN"})
        build_extension(inside, extension)
        check(extension, {"$ORIGIN/lib"})
        if options.develop:
            for name, path in built.items():
                (PACKAGE.parent / name).parent.mkdir(exist_ok=True)
                shutil.copy(path, PACKAGE.parent / name)
            print(f"python/causeway: {inside.stat().st_size >> 10} KiB of library")
            return
        wheel = write(options.to, built)
        print(f"{os.path.relpath(wheel, REPOSITORY)}: {wheel.stat().st_size >> 10} KiB")


if __name__ == "__main__":
    main()
