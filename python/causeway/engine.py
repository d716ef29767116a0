"""Engines: threads with a UCX worker. One is made when it is needed; more are for those who want more."""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import pathlib
import threading
import weakref

from . import _native

_PROGRESS = {"adaptive": 0, "blocking": 1, "busy": 2, "manual": 3}
_folder_was_told = False
SERVERS: weakref.WeakSet = weakref.WeakSet()  # whoever accepts there hears of an engine's end


def ucx_folder() -> pathlib.Path | None:
    """Where the wheel libucx (`pip install libucx-cu12`) keeps UCX, or None without it. Does not import it."""
    found = importlib.util.find_spec("libucx")
    for place in (found.submodule_search_locations or []) if found else []:
        folder = pathlib.Path(place, "lib")
        if any(folder.glob("libucp.so*")):
            return folder
    return None


def tell_ucx_folder() -> None:
    """Tells the library, once, where it may find UCX besides the system's."""
    global _folder_was_told
    if _folder_was_told:
        return
    _folder_was_told = True
    folder = ucx_folder()
    if folder:
        _native.set_ucx_folder(os.fspath(folder))


class Engine(_native.Engine):
    """A thread with a UCX worker; servers and clients live on one.

    progress is "adaptive" (spin a little, then sleep), "blocking", "busy" (never sleep, on `core`) or "manual" (call `progress()`).
    transports is UCX's list, such as "tcp"; spin is in seconds; unreceived_limit and endpoint_grant are in bytes.
    """

    def __new__(
        cls,
        *,
        progress: str = "adaptive",
        core: int | None = None,
        spin: float | None = None,
        transports: str | None = None,
        unreceived_limit: int | None = None,
        endpoint_grant: int | None = None,
    ) -> Engine:
        if progress not in _PROGRESS:
            raise ValueError(f"progress is one of {', '.join(_PROGRESS)}, not {progress!r}")
        if core is not None and core not in os.sched_getaffinity(0):
            raise ValueError(f"core {core} is none that this process may use")
        for name, value in (("spin", spin), ("unreceived_limit", unreceived_limit), ("endpoint_grant", endpoint_grant)):
            if value is not None and not 0 <= value < 1 << 63:
                raise ValueError(f"{name} is not negative, and not {value}")
        tell_ucx_folder()
        return super().__new__(
            cls,
            progress=_PROGRESS[progress],
            core=-1 if core is None else core,
            spin=spin or 0.0,
            transports=transports,
            unreceived_limit=unreceived_limit or 0,
            endpoint_grant=endpoint_grant or 0,
        )

    @classmethod
    def shared(cls) -> Engine:
        """The engine of the process, made at the first call."""
        tell_ucx_folder()
        return super().shared()

    def close(self, timeout: float | None = None) -> None:
        """Closes all that lives on it and ends its thread."""
        try:
            super().close(timeout)
        finally:
            for server in [each for each in list(SERVERS) if each.engine is self]:
                server._end_accepting()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_) -> None:
        self.close(timeout=5)

    def _start_notifier(self) -> None:
        thread = threading.Thread(target=self._notify, name="causeway callbacks", daemon=True)
        thread.start()
        _notifiers[thread] = None


_notifiers: weakref.WeakKeyDictionary[threading.Thread, None] = weakref.WeakKeyDictionary()


@atexit.register
def _stop_notifiers() -> None:
    _native.stop()
    for thread in list(_notifiers):
        if thread is not threading.current_thread():
            thread.join(timeout=1)


os.register_at_fork(after_in_child=_native.after_fork)


def info() -> dict:
    """Which UCX was loaded, from where, its version, transports and devices."""
    tell_ucx_folder()
    return json.loads(_native.info_json())
