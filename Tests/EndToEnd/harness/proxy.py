"""A TCP proxy with a hand on the wire: cut by RST or FIN, freeze, delay, limit. For loopback and namespaces."""

import contextlib
import socket
import struct
import threading
import time

CHUNK = 64 * 1024


class Pair:
    """One proxied connection. Each direction is a thread; `passed` counts bytes [toward target, toward caller]."""

    def __init__(self, proxy: "Proxy", near: socket.socket, far: socket.socket):
        self.proxy, self.near, self.far = proxy, near, far
        self.passed = [0, 0]
        self.finished = 0
        self.closing = False
        for source, sink, index in ((near, far, 0), (far, near, 1)):
            threading.Thread(target=self.pump, args=(source, sink, index), daemon=True).start()

    def pump(self, source, sink, index):
        proxy = self.proxy
        buffer = bytearray(CHUNK)
        view = memoryview(buffer)
        try:
            while True:
                proxy.flowing.wait()
                size = source.recv_into(buffer)
                proxy.flowing.wait()  # what arrived while frozen waits too
                if self.closing:
                    return
                if size == 0:
                    break
                if proxy.delay:
                    time.sleep(proxy.delay)
                if proxy.bytes_per_second:
                    time.sleep(size / proxy.bytes_per_second)
                sink.sendall(self.filter(view[:size], index))
                self.passed[index] += size
                proxy.count(index, size)
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(reset=True)
        finally:
            with self.proxy.lock:
                self.finished += 1
                both = self.finished == 2
            if both:
                self.close(reset=False)

    def filter(self, data, index: int):
        """What of `data` goes on; for proxies that look inside."""
        return data

    def close(self, reset: bool):
        with self.proxy.lock:
            if self.closing:  # whoever was first decides how it ends
                return
            self.closing = True
        for end in (self.near, self.far):
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    end.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                # A thread that sits in recv keeps the description alive; shutdown wakes it, linger 0 makes it RST.
                if reset:
                    end.shutdown(socket.SHUT_RD)
                end.close()
        with self.proxy.lock, contextlib.suppress(ValueError):
            self.proxy.pairs.remove(self)


class Proxy:
    """Listens on `port` (chosen unless given) and forwards to `target`. `accepting=False` refuses new connections."""

    def __init__(self, target_port: int, target_host: str = "127.0.0.1", host: str = "127.0.0.1", port: int = 0):
        self.target = (target_host, target_port)
        self.listener = socket.create_server((host, port), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.pairs: list[Pair] = []
        self.flowing = threading.Event()
        self.flowing.set()
        self.accepting = True
        self.delay = 0.0
        self.bytes_per_second = 0
        self.total = [0, 0]
        self.accepted = 0
        self.watchers: list[tuple[int, int, threading.Event]] = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            if not self.accepting:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                near.close()
                continue
            try:
                far = socket.create_connection(self.target, 5)
            except OSError:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                near.close()
                continue
            for end in (near, far):
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.pairs.append(self.make_pair(near, far))

    def make_pair(self, near, far) -> Pair:
        return Pair(self, near, far)

    def count(self, index, size):
        self.total[index] += size
        for watched, limit, event in list(self.watchers):
            if watched == index and self.total[index] >= limit:
                event.set()

    def passed(self, limit: int, toward_caller: bool = True) -> threading.Event:
        """An event that is set once `limit` more bytes went by in one direction."""
        index = 1 if toward_caller else 0
        event = threading.Event()
        self.watchers.append((index, self.total[index] + limit, event))
        return event

    def cut(self, reset: bool = True) -> int:
        """Ends every connection by RST (or FIN) at once. Returns how many there were."""
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            pair.close(reset)
        return len(pairs)

    def freeze(self):
        """Nothing passes any more, and nobody is told."""
        self.flowing.clear()

    def thaw(self):
        self.flowing.set()

    def close(self):
        self.accepting = False
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thaw()
        self.cut()
