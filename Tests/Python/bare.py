"""A bare root of this Debian: the files of some installed packages and of what they depend on, and nothing else. Needs root."""

import os
import pathlib
import re
import shutil
import subprocess

STATUS = pathlib.Path("/var/lib/dpkg/status")
# What every Debian has, as far as programs in a chroot need it.
ESSENTIAL = ["apt", "base-files", "bash", "coreutils", "dash", "debianutils", "findutils", "grep", "libc-bin"]


def is_possible() -> bool:
    return os.geteuid() == 0 and STATUS.exists() and bool(shutil.which("dpkg")) and bool(shutil.which("unshare"))


def installed() -> dict[str, list[list[str]]]:
    """Each installed package, also by what it provides, and its dependencies: lists of alternatives."""
    found: dict[str, list[list[str]]] = {}
    provided: dict[str, str] = {}
    for block in STATUS.read_text().split("\n\n"):
        fields = dict(re.findall(r"(?m)^([\w-]+): (.*)$", block))
        if fields.get("Status") != "install ok installed":
            continue
        words = ", ".join(fields[name] for name in ("Pre-Depends", "Depends") if name in fields)
        alternatives = [[re.split(r"[ (:]", choice.strip())[0] for choice in each.split("|")] for each in words.split(",") if each.strip()]
        found[fields["Package"]] = alternatives
        for name in fields.get("Provides", "").split(","):
            provided.setdefault(re.split(r"[ (]", name.strip())[0], fields["Package"])
    for name, package in provided.items():
        if name and name not in found:
            found[name] = [[package]]
    return found


def closure(packages: list[str]) -> set[str]:
    known, wanted, done = installed(), list(packages), set()
    while wanted:
        name = wanted.pop()
        if name in done or name not in known:
            continue
        done.add(name)
        wanted += [next((choice for choice in choices if choice in known), "") for choices in known[name]]
    return done


def make(root: pathlib.Path, packages: list[str]) -> None:
    """Fills an empty folder."""
    for link in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / link).mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(f"usr/{link}")
    for folder in ("dev", "proc", "sys", "tmp", "root", "etc"):
        (root / folder).mkdir(exist_ok=True)
    names = sorted(closure([*ESSENTIAL, *packages]))
    listed = subprocess.run(["dpkg", "-L", *names], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    paths = sorted({line for line in listed.splitlines() if line.startswith("/") and not line.startswith(("/usr/share/doc/", "/usr/share/man/"))})
    for path in paths:
        target = root / path.lstrip("/")
        if os.path.islink(path):
            if not os.path.lexists(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(os.readlink(path))
        elif os.path.isfile(path) and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, target)
            except OSError:  # another file system
                shutil.copy2(path, target)
    # Names that packages choose between when they are configured.
    for link in ("/bin/sh", "/usr/bin/awk"):
        target = root / link.lstrip("/")
        if os.path.lexists(link) and not os.path.lexists(target):
            target.symlink_to(os.readlink(link) if os.path.islink(link) else "dash")
    subprocess.run(["ldconfig", "-r", root], check=True)


def run(root: pathlib.Path, script: str) -> subprocess.CompletedProcess:
    """A shell script inside, with /dev, /proc and /sys, and without anything of this process's environment."""
    # In a chroot the root is no mount, whose propagation could be changed: then whoever made the chroot has seen to it.
    mounts = 'mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && mount -t sysfs sysfs "$0/sys"'
    inside = 'exec chroot "$0" /usr/bin/env -i PATH=/usr/sbin:/usr/bin HOME=/root sh -euc "$1"'
    outside = f"mount --make-rprivate / 2>/dev/null || true; {mounts} && {inside}"
    words = ["unshare", "--mount", "--propagation", "unchanged", "sh", "-euc", outside, str(root), script]
    return subprocess.run(words, capture_output=True, text=True, timeout=120)
