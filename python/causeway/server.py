"""Servers and clients."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import threading
import time
from collections.abc import AsyncIterator, Callable

from . import _native
from .engine import SERVERS, Engine
from .errors import ClosedError, TimedOutError

CLOSE_TIMEOUT = 5.0
CLOSED, NOBODY = "the server was closed", "nobody connected in time"


def check_timeout(seconds: float | None) -> None:
    """Raises unless it is one."""
    if seconds is not None and not seconds >= 0:
        raise ValueError("a timeout is a number of seconds, 0 or more, or None")


def call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> bool:
    """Calls it on the thread of a loop, at once when that is this one; False when the loop is closed."""
    try:
        if loop is asyncio._get_running_loop():
            function()
        else:
            loop.call_soon_threadsafe(function)
    except RuntimeError:
        if loop.is_closed():
            return False
        raise
    return True


class Server(_native.Mailbox):
    """Accepts connections. Its receives match messages of any of them, or of one: `source=endpoint`, or `endpoint.recv(…)`.

    `await server.accept()`, `async for endpoint in server` or `server.on_accept(callback)` tell who came.
    """

    def __new__(cls, *, engine: Engine | None = None) -> Server:
        self = super().__new__(cls, engine or Engine.shared(), True)
        self._accepted: collections.deque[_native.Endpoint] = collections.deque()
        self._accepting: collections.deque[asyncio.Future[_native.Endpoint]] = collections.deque()
        self._handing = threading.RLock()
        SERVERS.add(self)
        return self

    def __init__(self, *, engine: Engine | None = None) -> None:
        pass

    def listen(self, host: str | None = None, port: int = 0, *, key: bytes | None = None) -> None:
        """Binds to a host (a name, a literal, None for all) and a port (0: any, see `port`). key: a shared secret of 16 bytes or more."""
        self._listen(host, port, key)

    def listen_address(self, *, key: bytes | None = None, tcp: bool = True) -> bytes:
        """Listens, and returns an address that `Client.connect_address` takes. tcp=False keeps it to this host."""
        return self._listen_address(key, tcp)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def clients(self) -> list[_native.Endpoint]:
        """The endpoints that are connected now."""
        return self._clients

    async def accept(self, timeout: float | None = None) -> _native.Endpoint:
        """Waits for the next connection."""
        check_timeout(timeout)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[_native.Endpoint] = loop.create_future()
        with self._handing:
            if self.is_closed:
                raise ClosedError(CLOSED)
            self._accepting.append(waiter)
        loop.add_reader(self._accepts_descriptor, self._hand_out)
        self._hand_out()
        try:
            async with asyncio.timeout(timeout):
                return await waiter
        except (TimeoutError, asyncio.CancelledError) as error:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self._put_back(waiter.result())
            if isinstance(error, TimeoutError):
                raise TimedOutError(NOBODY) from None
            raise
        finally:
            with self._handing, contextlib.suppress(ValueError):
                self._accepting.remove(waiter)
            if not any(other.get_loop() is loop for other in list(self._accepting)):
                loop.remove_reader(self._accepts_descriptor)

    def _hand_out(self) -> None:
        with self._handing:
            self._accepted.extend(self._take_accepted())
            while self._accepted and self._accepting:
                self._give(self._accepting.popleft(), self._accepted.popleft())

    def _give(self, waiter: asyncio.Future[_native.Endpoint], endpoint: _native.Endpoint) -> None:
        def give() -> None:
            if waiter.done():  # it gave up meanwhile
                self._put_back(endpoint)
            else:
                waiter.set_result(endpoint)

        if not call_in(waiter.get_loop(), give):
            self._accepted.appendleft(endpoint)

    def _put_back(self, endpoint: _native.Endpoint) -> None:
        self._accepted.appendleft(endpoint)
        self._hand_out()

    def accept_sync(self, timeout: float | None = None) -> _native.Endpoint:
        """As accept, but blocks."""
        check_timeout(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with contextlib.suppress(IndexError):
                return self._accepted.popleft()
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._accepted.extend(self._wait_accepted(left))
            if self._accepted:
                continue
            if self.is_closed:
                raise ClosedError(CLOSED)
            if left == 0.0:
                raise TimedOutError(NOBODY)

    async def __aiter__(self) -> AsyncIterator[_native.Endpoint]:
        while not self.is_closed:
            try:
                yield await self.accept()
            except ClosedError:
                return

    async def close(self, timeout: float | None = CLOSE_TIMEOUT) -> None:
        """Flushes until the deadline, then closes by force."""
        closing = self._close(timeout)
        self._end_accepting()
        await closing

    def close_sync(self, timeout: float | None = CLOSE_TIMEOUT) -> None:
        """As close, but blocks."""
        try:
            self._close_sync(timeout)
        finally:
            self._end_accepting()

    def _end_accepting(self) -> None:
        def end(waiter: asyncio.Future[_native.Endpoint]) -> None:
            if not waiter.done():
                waiter.set_exception(ClosedError(CLOSED))

        with self._handing:
            while self.is_closed and self._accepting:
                waiter = self._accepting.popleft()
                call_in(waiter.get_loop(), functools.partial(end, waiter))

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *_) -> None:
        if not self.is_closed:
            await self.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_) -> None:
        if not self.is_closed:
            self.close_sync()


class Client(_native.Mailbox):
    """One connection to a server. It is used once: after a close there is a new Client."""

    def __new__(cls, *, engine: Engine | None = None) -> Client:
        return super().__new__(cls, engine or Engine.shared(), False)

    def __init__(self, *, engine: Engine | None = None) -> None:
        pass

    async def connect(self, host: str, port: int, *, key: bytes | None = None, timeout: float | None = None) -> None:
        """Connects to a listening server."""
        await self._connect(host, port, key=key, timeout=timeout)

    async def connect_address(self, address: bytes, *, key: bytes | None = None, timeout: float | None = None) -> None:
        """Connects to a server by what its `listen_address` returned."""
        await self._connect(address=address, key=key, timeout=timeout)

    def connect_sync(self, host: str, port: int, *, key: bytes | None = None, timeout: float | None = None) -> None:
        """As connect, but blocks."""
        self._connect_sync(host, port, key=key, timeout=timeout)

    def connect_address_sync(self, address: bytes, *, key: bytes | None = None, timeout: float | None = None) -> None:
        """As connect_address, but blocks."""
        self._connect_sync(address=address, key=key, timeout=timeout)

    @property
    def endpoint(self) -> _native.Endpoint | None:
        """The connection; None before there is one."""
        return self._endpoint

    async def close(self, timeout: float | None = CLOSE_TIMEOUT) -> None:
        """Flushes until the deadline, then closes by force."""
        await self._close(timeout)

    def close_sync(self, timeout: float | None = CLOSE_TIMEOUT) -> None:
        """As close, but blocks."""
        self._close_sync(timeout)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_) -> None:
        if not self.is_closed:
            await self.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_) -> None:
        if not self.is_closed:
            self.close_sync()
