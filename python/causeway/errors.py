"""What can go wrong. Every error is an `Error`; most are also the builtin that a Python programmer would expect."""

from __future__ import annotations

from . import _native


class Error(Exception):
    """An operation of causeway failed; `code` is the number of its kind in the C ABI."""

    code = -1


class InvalidError(Error, ValueError):
    """An argument makes no sense."""

    code = -2


class WouldBlockError(Error, BlockingIOError):
    """As many operations are in flight as may be."""

    code = -3


class TruncatedError(Error):
    """The message is longer than the buffer. It waits for another receive; `length` is its own length.

    Of a batch that failed, `results` has what arrived: (tag, length), or None. Every error of `recv_many` has it.
    """

    code = -4
    length = 0


class TimedOutError(Error, TimeoutError):
    """The deadline passed."""

    code = -5


class OperationCancelledError(Error):
    """The operation was cancelled."""

    code = -6


class PeerLostError(Error, ConnectionError):
    """The peer's process or host is gone."""

    code = -7


class ClosedError(Error, RuntimeError):
    """The object was closed."""

    code = -8


class NotConnectedError(Error, ConnectionError):
    """There is no connection: nobody listens there, it refused, or none was made yet."""

    code = -9


class VersionMismatchError(Error):
    """The peers' versions of UCX or of the protocol differ."""

    code = -10


class KeyRefusedError(Error, PermissionError):
    """The shared keys differ, or one side has none."""

    code = -11


class AddressInUseError(Error, OSError):
    """It cannot be listened on: somebody does already, or this host has no such address."""

    code = -12


class UCXNotFoundError(Error, ImportError):
    """No usable UCX library was found."""

    code = -13


class ForkedError(Error, RuntimeError):
    """Used in a child of the process that uses causeway."""

    code = -14


class OutOfMemoryError(Error, MemoryError):
    """There is no memory for it."""

    code = -15


class QueueFullError(Error):
    """Too many operations wait for room: await some before starting more."""

    code = _native.QUEUE_FULL


_native.set_errors({kind.code: kind for kind in list(vars().values()) if isinstance(kind, type) and issubclass(kind, Error)})
__all__ = [
    "AddressInUseError",
    "ClosedError",
    "Error",
    "ForkedError",
    "InvalidError",
    "KeyRefusedError",
    "NotConnectedError",
    "OperationCancelledError",
    "OutOfMemoryError",
    "PeerLostError",
    "QueueFullError",
    "TimedOutError",
    "TruncatedError",
    "UCXNotFoundError",
    "VersionMismatchError",
    "WouldBlockError",
]
