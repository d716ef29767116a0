"""Servers and clients."""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import AsyncIterator

from . import _native
from .engine import Engine
from .errors import ClosedError, TimedOutError

CLOSE_TIMEOUT = 5.0


class Server(_native.Mailbox):
    """Accepts connections. Its receives match messages of any of them, or of one: `source=endpoint`, or `endpoint.recv(…)`.

    `await server.accept()`, `async for endpoint in server` or `server.on_accept(callback)` tell who came.
    """

    def __new__(cls, *, engine: Engine | None = None) -> Server:
        self = super().__new__(cls, engine or Engine.shared(), True)
        self._accepted = collections.deque()
        self._accepting = collections.deque()
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
        if not self._accepted:
            self._accepted.extend(self._take_accepted())
        if self._accepted and not self._accepting:
            return self._accepted.popleft()
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._accepting.append(waiter)
        self._watch(loop)
        async with asyncio.timeout(timeout):
            try:
                return await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled() and not waiter.exception():
                    self._accepted.appendleft(waiter.result())
                raise
            finally:
                if waiter in self._accepting:
                    self._accepting.remove(waiter)
                if not self._accepting:
                    loop.remove_reader(self._accepts_descriptor)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self._accepts_descriptor, self._hand_out)
        self._hand_out()

    def _hand_out(self) -> None:
        self._accepted.extend(self._take_accepted())
        while self._accepted and self._accepting:
            waiter = self._accepting.popleft()
            if not waiter.done():
                waiter.set_result(self._accepted.popleft())

    def accept_sync(self, timeout: float | None = None) -> _native.Endpoint:
        """As accept, but blocks."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._accepted:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._accepted.extend(self._wait_accepted(left))
            if self._accepted:
                break
            if self.is_closed:
                raise ClosedError("the server was closed")
            if left == 0.0:
                raise TimedOutError("nobody connected in time")
        return self._accepted.popleft()

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
        self._close_sync(timeout)

    def _end_accepting(self) -> None:
        while self._accepting:
            waiter = self._accepting.popleft()
            if not waiter.done():
                waiter.set_exception(ClosedError("the server was closed"))

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
