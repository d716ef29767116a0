"""Tagged, zero-copy, full-duplex messages between processes, over OpenUCX.

    server = causeway.Server()                      client = causeway.Client()
    server.listen("127.0.0.1", 4000)                await client.connect("127.0.0.1", 4000)
    tag, length = await server.recv(buffer)         await client.send(b"hello", tag=7)

Every operation exists three times: `send` gives an asyncio future, `send_sync` blocks, `post_send` calls back. A buffer is whatever has
the buffer protocol or DLPack in the host's memory, if it is contiguous; it is held until its operation ends. `timeout=` is in seconds.
"""

import sys as _sys

if "t" in _sys.abiflags or not getattr(_sys, "_is_gil_enabled", lambda: True)():
    raise ImportError("causeway needs an interpreter with the GIL: free-threaded Python is not supported")

from . import errors
from ._native import Endpoint, Message, Operation
from .engine import Engine, info
from .errors import *  # noqa: F403
from .server import Client, Server

__version__ = "0.1.0"
__all__ = ["Client", "Endpoint", "Engine", "Message", "Operation", "Server", "info"]
__all__ += errors.__all__
