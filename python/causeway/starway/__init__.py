"""The surface of Starway 0.6.0 on causeway: `import causeway.starway as starway`.

The same classes, functions and callbacks, with causeway's behaviour beneath: buffers are held until their operation ends, errors are
typed (subclasses of causeway.Error), futures may be cancelled, nothing prints. What differs from Starway on purpose is in
docs/messaging-python.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from .. import _native
from .. import info as _info
from ..engine import Engine
from ..errors import ClosedError, Error, NotConnectedError
from .benchmarks import list_scenarios as list_benchmark_scenarios
from .endpoint import ServerEndpoint

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined]

__all__ = ["Client", "Server", "ServerEndpoint", "check_sys_libs", "list_benchmark_scenarios"]

CLOSE_TIMEOUT = 30.0
HISTORY_LIMIT = 4096
# How long a refused connection is tried again: programs start their peers a moment before.
PATIENCE = 1.0

Done = Callable[[], Any]
Received = Callable[[int, int], Any]
Failed = Callable[[str], Any]


def check_sys_libs() -> Literal["system", "wheel"]:
    """Which UCX is in use: the system's or the wheel's."""
    return "wheel" if _info().get("source") == "wheel" else "system"


class NotRunningError(ClosedError):
    """The object is not connected, does not listen, or was closed."""


def _bytes(buffer: Any, *, to_send: bool) -> Any:
    """One dimension of uint8: other arrays are converted by value to be sent, and refused to receive into."""
    kind = getattr(buffer, "dtype", None)
    if kind is None:
        return buffer
    if getattr(buffer, "ndim", 1) != 1:
        raise TypeError(f"a buffer has one dimension, not {buffer.ndim}")
    if str(kind).endswith("uint8"):
        return buffer
    if not to_send:
        raise TypeError(f"a message is received into uint8, not {kind}")
    if not hasattr(buffer, "astype"):
        raise TypeError(f"only NumPy's arrays are converted: make it uint8, not {kind}")
    return buffer.astype("uint8")


def _failed(callback: Failed) -> Callable[[Error], Any]:
    return lambda error: callback(str(error))


class _Running:
    """What servers and clients have in common."""

    _box: _native.Mailbox

    @property
    def _is_running(self) -> bool:
        raise NotImplementedError

    def _require(self) -> _native.Mailbox:
        if not self._is_running:
            raise NotRunningError(f"{type(self).__name__}: not running: it was not started yet, or is closed")
        return self._box

    def recv(self, buffer: Buffer, tag: int, tag_mask: int, done_callback: Received, fail_callback: Failed) -> None:
        """Receives a message whose tag equals `tag` in the bits of `tag_mask`; calls done_callback(sender_tag, length)."""
        box = self._require()
        box.post_recv(_bytes(buffer, to_send=False), tag, tag_mask, done_callback, _failed(fail_callback), drops=True)

    def arecv(self, buffer: Buffer, tag: int, tag_mask: int, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[tuple[int, int]]:
        """As recv, with a future of (sender_tag, length)."""
        return self._require().recv(_bytes(buffer, to_send=False), tag, tag_mask, loop=loop, drops=True)

    def flush(self, done_callback: Done, fail_callback: Failed) -> None:
        """Calls back when every earlier message is in the peer's memory or has been read."""
        self._require().post_flush(done_callback, _failed(fail_callback))

    def aflush(self, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[None]:
        """As flush, with a future."""
        return self._require().flush(loop=loop)

    def aclose(self, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[None]:
        """Flushes and closes. What still waits ends with an error."""
        return self._require()._close(CLOSE_TIMEOUT, loop)


class Client(_Running):
    """One connection to a server."""

    def __init__(self) -> None:
        self._box = _native.Mailbox(Engine.shared(), False)

    @property
    def _is_running(self) -> bool:
        return self._box.is_connected

    def aconnect(self, addr: str, port: int, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[None]:
        """Connects to a server that listens on an address and a port, or will do so within a second."""
        return self._connect_patiently(addr, port, loop or asyncio.get_running_loop())

    def _connect_patiently(self, addr: str, port: int, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        result: asyncio.Future[None] = loop.create_future()
        until = loop.time() + PATIENCE
        attempts: list[asyncio.Future[None]] = []

        def attempt() -> None:
            if not result.done():
                attempts.append(self._box._connect(addr, port, loop=loop))
                attempts[-1].add_done_callback(ended)

        def ended(inner: asyncio.Future[None]) -> None:
            error = None if inner.cancelled() else inner.exception()
            if result.done():
                return
            if inner.cancelled():
                result.cancel()
            elif isinstance(error, NotConnectedError) and loop.time() < until:
                self._box = _native.Mailbox(Engine.shared(), False)
                loop.call_later(0.05, attempt)
            elif error:
                result.set_exception(error)
            else:
                result.set_result(None)

        attempt()
        result.add_done_callback(lambda _: attempts[-1].cancel() if result.cancelled() else None)
        return result

    def aconnect_address(self, remote_address: bytes, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[None]:
        """Connects to a server by what its `listen_address` returned."""
        return self._box._connect(address=remote_address, loop=loop)

    def send(self, buffer: Buffer, tag: int, done_callback: Done, fail_callback: Failed) -> None:
        """Sends; calls done_callback() when the buffer is free."""
        self._require().post_send(_bytes(buffer, to_send=True), tag, done_callback, _failed(fail_callback))

    def asend(self, buffer: Buffer, tag: int, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[None]:
        """As send, with a future."""
        return self._require().send(_bytes(buffer, to_send=True), tag, loop=loop)

    def evaluate_perf(self, msg_size: int) -> float:
        """Seconds that a message of so many bytes takes, by UCX's estimate."""
        return self._require()._endpoint.evaluate_performance(msg_size) or 0.0

    def get_worker_address(self) -> bytes:
        """A name of the client, as bytes. Nobody can connect to it: clients connect to servers."""
        return b"causeway client %d" % id(self._box)


class Server(_Running):
    """Accepts connections; its receives match messages of any of them."""

    def __init__(self) -> None:
        self._box = _native.Mailbox(Engine.shared(), True)
        self._listens = False
        self._address = b""
        self._on_accept: Callable[[ServerEndpoint], None] | None = None
        self._history: dict[ServerEndpoint, None] = {}

    @property
    def _is_running(self) -> bool:
        return self._listens and not self._box.is_closed

    def _start_listening(self) -> None:
        if self._listens:
            raise NotRunningError("Server: it listens already, or did before it was closed")

    def listen(self, addr: str, port: int) -> None:
        """Listens on an address and a port."""
        self._start_listening()
        self._box._listen(addr, port)
        self._listens = True

    def listen_address(self) -> bytes:
        """Listens where only those look who get the returned bytes."""
        self._start_listening()
        self._address = self._box._listen_address()
        self._listens = True
        return self._address

    def get_worker_address(self) -> bytes:
        """What `listen_address` returned."""
        return self._address

    def set_accept_cb(self, on_accept: Callable[[ServerEndpoint], None]) -> None:
        """Calls on_accept(endpoint) for each connection, on the callbacks' thread."""
        self._on_accept = on_accept
        self._box.on_accept(self._accepted)

    def _accepted(self, endpoint: _native.Endpoint) -> None:
        shown = self._remember(endpoint)
        if self._on_accept:
            self._on_accept(shown)

    def _remember(self, endpoint: _native.Endpoint) -> ServerEndpoint:
        shown = ServerEndpoint(endpoint)
        self._history[shown] = None
        while len(self._history) > HISTORY_LIMIT:
            del self._history[next(iter(self._history))]
        return shown

    def list_clients(self) -> set[ServerEndpoint]:
        """A new set of all that were accepted since `listen`, closed ones too: the newest 4096."""
        if self._listens:
            for endpoint in self._box._clients if self._on_accept else self._box._take_accepted():
                self._remember(endpoint)
        return set(self._history)

    def send(self, client_ep: ServerEndpoint, buffer: Buffer, tag: int, done_callback: Done, fail_callback: Failed) -> None:
        """Sends to one client; calls done_callback() when the buffer is free."""
        self._require()
        client_ep._endpoint.post_send(_bytes(buffer, to_send=True), tag, done_callback, _failed(fail_callback))

    def asend(self, client_ep: ServerEndpoint, buffer: Buffer, tag: int, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[None]:
        """As send, with a future."""
        self._require()
        return client_ep._endpoint.send(_bytes(buffer, to_send=True), tag, loop=loop)

    def flush_ep(self, client_ep: ServerEndpoint, done_callback: Done, fail_callback: Failed) -> None:
        """As flush, for one client."""
        self._require()
        client_ep._endpoint.post_flush(done_callback, _failed(fail_callback))

    def aflush_ep(self, client_ep: ServerEndpoint, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[None]:
        """As flush_ep, with a future."""
        self._require()
        return client_ep._endpoint.flush(loop=loop)

    def evaluate_perf(self, client_ep: ServerEndpoint, msg_size: int) -> float:
        """Seconds that a message of so many bytes takes to a client, by UCX's estimate."""
        self._require()
        return client_ep._endpoint.evaluate_performance(msg_size) or 0.0
