import asyncio
from collections.abc import Buffer, Callable, Sequence  # type: ignore[attr-defined]
from typing import Any, final

QUEUE_FULL: int

@final
class OperationFuture(asyncio.Future[Any]): ...

@final
class Operation:
    def cancel(self) -> bool: ...

@final
class Message(Buffer):
    @property
    def tag(self) -> int: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Engine:
    @classmethod
    def shared(cls) -> Engine: ...
    def close(self, timeout: float | None = None) -> None: ...
    def progress(self) -> int: ...
    def arm(self) -> int | None: ...
    def metrics(self) -> str: ...
    def serve_metrics(self, host: str, port: int = 0) -> int: ...
    @property
    def is_closed(self) -> bool: ...

class _Sends:
    def send(
        self, buffer: Buffer, tag: int, timeout: float | None = None, synchronous: bool = False, loop: asyncio.AbstractEventLoop | None = None
    ) -> asyncio.Future[None]: ...
    def send_sync(self, buffer: Buffer, tag: int, timeout: float | None = None, synchronous: bool = False) -> None: ...
    def post_send(
        self,
        buffer: Buffer,
        tag: int,
        done: Callable[[], Any] | None = None,
        failed: Callable[[Exception], Any] | None = None,
        timeout: float | None = None,
        synchronous: bool = False,
    ) -> Operation: ...
    def send_many(
        self,
        buffers: Sequence[Buffer],
        tags: int | Sequence[int],
        timeout: float | None = None,
        synchronous: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Future[None]: ...
    def send_many_sync(
        self, buffers: Sequence[Buffer], tags: int | Sequence[int], timeout: float | None = None, synchronous: bool = False
    ) -> None: ...
    def post_send_many(
        self,
        buffers: Sequence[Buffer],
        tags: int | Sequence[int],
        done: Callable[[], Any] | None = None,
        failed: Callable[[Exception], Any] | None = None,
        timeout: float | None = None,
        synchronous: bool = False,
    ) -> Operation: ...

class _Receives:
    def recv(
        self,
        buffer: Buffer,
        tag: int | None = None,
        mask: int | None = None,
        source: Endpoint | None = None,
        timeout: float | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        drops: bool = False,
    ) -> asyncio.Future[tuple[int, int]]: ...
    def recv_sync(
        self, buffer: Buffer, tag: int | None = None, mask: int | None = None, source: Endpoint | None = None, timeout: float | None = None
    ) -> tuple[int, int]: ...
    def post_recv(
        self,
        buffer: Buffer,
        tag: int | None = None,
        mask: int | None = None,
        done: Callable[[int, int], Any] | None = None,
        failed: Callable[[Exception], Any] | None = None,
        source: Endpoint | None = None,
        timeout: float | None = None,
        drops: bool = False,
    ) -> Operation: ...
    def recv_message(
        self,
        tag: int | None = None,
        mask: int | None = None,
        source: Endpoint | None = None,
        timeout: float | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Future[Message]: ...
    def recv_message_sync(
        self, tag: int | None = None, mask: int | None = None, source: Endpoint | None = None, timeout: float | None = None
    ) -> Message: ...
    def post_recv_message(
        self,
        tag: int | None = None,
        mask: int | None = None,
        done: Callable[[Message], Any] | None = None,
        failed: Callable[[Exception], Any] | None = None,
        source: Endpoint | None = None,
        timeout: float | None = None,
    ) -> Operation: ...
    def recv_many(
        self,
        buffers: Sequence[Buffer],
        tags: int | Sequence[int] | None = None,
        mask: int | None = None,
        source: Endpoint | None = None,
        timeout: float | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Future[list[tuple[int, int]]]: ...
    def recv_many_sync(
        self,
        buffers: Sequence[Buffer],
        tags: int | Sequence[int] | None = None,
        mask: int | None = None,
        source: Endpoint | None = None,
        timeout: float | None = None,
    ) -> list[tuple[int, int]]: ...
    def post_recv_many(
        self,
        buffers: Sequence[Buffer],
        tags: int | Sequence[int] | None = None,
        mask: int | None = None,
        done: Callable[[list[tuple[int, int]]], Any] | None = None,
        failed: Callable[[Exception], Any] | None = None,
        source: Endpoint | None = None,
        timeout: float | None = None,
    ) -> Operation: ...
    def probe(self, tag: int | None = None, mask: int | None = None) -> tuple[int, int] | None: ...
    def flush(self, timeout: float | None = None, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[None]: ...
    def flush_sync(self, timeout: float | None = None) -> None: ...
    def post_flush(
        self, done: Callable[[], Any] | None = None, failed: Callable[[Exception], Any] | None = None, timeout: float | None = None
    ) -> Operation: ...

class Mailbox(_Sends, _Receives):
    def __new__(cls, engine: Engine, is_server: bool) -> Mailbox: ...
    def on_accept(self, callback: Callable[[Endpoint], Any], /) -> None: ...
    @property
    def is_closed(self) -> bool: ...
    @property
    def is_connected(self) -> bool: ...
    @property
    def engine(self) -> Engine: ...

@final
class Endpoint(_Sends, _Receives):
    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def local_host(self) -> str: ...
    @property
    def local_port(self) -> int: ...
    @property
    def remote_host(self) -> str: ...
    @property
    def remote_port(self) -> int: ...
    @property
    def is_connected(self) -> bool: ...
    def transports(self) -> list[tuple[str, str]]: ...
    def counters(self) -> dict[str, int]: ...
    def evaluate_performance(self, length: int, /) -> float | None: ...

def set_errors(classes: dict[int, type[Exception]], /) -> None: ...
def set_ucx_folder(folder: str, /) -> None: ...
def info_json() -> str: ...
def after_fork() -> None: ...
def stop() -> None: ...
