import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol, SupportsIndex, final, type_check_only

from typing_extensions import Buffer

from .errors import Error

@type_check_only
class Tensor(Protocol):
    def __dlpack__(self) -> Any: ...

QUEUE_FULL: int

@final
class OperationFuture(asyncio.Future[Any]): ...

@final
class Operation:
    def cancel(self) -> bool: ...

@final
class Message:
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
        self, buffer: Buffer | Tensor, tag: SupportsIndex, timeout: float | None = None, synchronous: bool = False, loop: asyncio.AbstractEventLoop | None = None
    ) -> asyncio.Future[None]: ...
    def send_sync(self, buffer: Buffer | Tensor, tag: SupportsIndex, timeout: float | None = None, synchronous: bool = False) -> None: ...
    def post_send(
        self,
        buffer: Buffer | Tensor,
        tag: SupportsIndex,
        done: Callable[[], Any] | None = None,
        failed: Callable[[Error], Any] | None = None,
        timeout: float | None = None,
        synchronous: bool = False,
    ) -> Operation: ...
    def send_many(
        self,
        buffers: Iterable[Buffer | Tensor],
        tags: SupportsIndex | Iterable[SupportsIndex],
        timeout: float | None = None,
        synchronous: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Future[None]: ...
    def send_many_sync(
        self, buffers: Iterable[Buffer | Tensor], tags: SupportsIndex | Iterable[SupportsIndex], timeout: float | None = None, synchronous: bool = False
    ) -> None: ...
    def post_send_many(
        self,
        buffers: Iterable[Buffer | Tensor],
        tags: SupportsIndex | Iterable[SupportsIndex],
        done: Callable[[], Any] | None = None,
        failed: Callable[[Error], Any] | None = None,
        timeout: float | None = None,
        synchronous: bool = False,
    ) -> Operation: ...

class _Receives:
    def recv(
        self,
        buffer: Buffer | Tensor,
        tag: SupportsIndex | None = None,
        mask: SupportsIndex | None = None,
        source: Endpoint | None = None,
        timeout: float | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        drops: bool = False,
    ) -> asyncio.Future[tuple[int, int]]: ...
    def recv_sync(
        self, buffer: Buffer | Tensor, tag: SupportsIndex | None = None, mask: SupportsIndex | None = None, source: Endpoint | None = None, timeout: float | None = None
    ) -> tuple[int, int]: ...
    def post_recv(
        self,
        buffer: Buffer | Tensor,
        tag: SupportsIndex | None = None,
        mask: SupportsIndex | None = None,
        done: Callable[[int, int], Any] | None = None,
        failed: Callable[[Error], Any] | None = None,
        source: Endpoint | None = None,
        timeout: float | None = None,
        drops: bool = False,
    ) -> Operation: ...
    def recv_message(
        self,
        tag: SupportsIndex | None = None,
        mask: SupportsIndex | None = None,
        source: Endpoint | None = None,
        timeout: float | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Future[Message]: ...
    def recv_message_sync(
        self, tag: SupportsIndex | None = None, mask: SupportsIndex | None = None, source: Endpoint | None = None, timeout: float | None = None
    ) -> Message: ...
    def post_recv_message(
        self,
        tag: SupportsIndex | None = None,
        mask: SupportsIndex | None = None,
        done: Callable[[Message], Any] | None = None,
        failed: Callable[[Error], Any] | None = None,
        source: Endpoint | None = None,
        timeout: float | None = None,
    ) -> Operation: ...
    def recv_many(
        self,
        buffers: Iterable[Buffer | Tensor],
        tags: SupportsIndex | Iterable[SupportsIndex] | None = None,
        mask: SupportsIndex | None = None,
        source: Endpoint | None = None,
        timeout: float | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Future[list[tuple[int, int]]]: ...
    def recv_many_sync(
        self,
        buffers: Iterable[Buffer | Tensor],
        tags: SupportsIndex | Iterable[SupportsIndex] | None = None,
        mask: SupportsIndex | None = None,
        source: Endpoint | None = None,
        timeout: float | None = None,
    ) -> list[tuple[int, int]]: ...
    def post_recv_many(
        self,
        buffers: Iterable[Buffer | Tensor],
        tags: SupportsIndex | Iterable[SupportsIndex] | None = None,
        mask: SupportsIndex | None = None,
        done: Callable[[list[tuple[int, int]]], Any] | None = None,
        failed: Callable[[Error], Any] | None = None,
        source: Endpoint | None = None,
        timeout: float | None = None,
    ) -> Operation: ...
    def probe(self, tag: SupportsIndex | None = None, mask: SupportsIndex | None = None) -> tuple[int, int] | None: ...
    def flush(self, timeout: float | None = None, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[None]: ...
    def flush_sync(self, timeout: float | None = None) -> None: ...
    def post_flush(
        self, done: Callable[[], Any] | None = None, failed: Callable[[Error], Any] | None = None, timeout: float | None = None
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
    def evaluate_performance(self, length: SupportsIndex, /) -> float | None: ...

def set_errors(classes: dict[int, type[Exception]], /) -> None: ...
def set_ucx_folder(folder: str, /) -> None: ...
def info_json() -> str: ...
def after_fork() -> None: ...
def stop() -> None: ...
