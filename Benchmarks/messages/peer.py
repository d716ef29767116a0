"""One side of a measurement in Python, on causeway or on Starway: `peer.py LIBRARY MANNER KIND ROLE NAME=VALUE...`.

LIBRARY causeway, starway; MANNER asyncio, batches (asyncio), sync, sync-batches; KIND ping, stream, duplex, idle; ROLE serve, run. The
serving side prints its port first, the other one a line of JSON at the end.
"""

import asyncio
import collections
import json
import os
import socket
import sys
import time

library, manner, kind, role = sys.argv[1:5]
values = dict(word.split("=", 1) for word in sys.argv[5:])
size, count, window = int(values["size"]), int(values["count"]), int(values.get("window", 64))
# Messages before the clock runs: pages are touched, and the scheduler has found a core for each side.
warmup = max(window, count // 4 // window * window) if size < 64 << 20 else window
if values.get("tls"):
    os.environ["UCX_TLS"] = values["tls"]
TO_SERVER, TO_CLIENT, MASK = 1, 2, (1 << 64) - 1


def told(**figures):
    # Starway prints for itself; this line is looked for by its beginning.
    print("RESULT " + json.dumps(figures), flush=True)


def trips(times: list[int]):
    times.sort()
    told(rtt_ns=times[len(times) // 2], p99_ns=times[len(times) * 99 // 100])


def throughput(messages: int, seconds: float):
    told(rate=messages / seconds, gigabytes=messages * size / seconds / 1e9)


class Side:
    """What both libraries' two sides have in common."""

    def __init__(self, send, receive, flush, tag_out, tag_in, buffer):
        self.send_one, self.receive_one, self.flush = send, receive, flush
        self.tag_out, self.tag_in = tag_out, tag_in
        self.out, self.back = buffer(), buffer()

    def send(self):
        return self.send_one(self.out, self.tag_out)

    def receive(self):
        return self.receive_one(self.back, self.tag_in)

    async def many(self, start, total: int):
        """`total` operations, `window` of them at once: when the oldest ends the next one starts."""
        waiting = collections.deque(start() for _ in range(min(window, total)))
        for _ in range(total - len(waiting)):
            await waiting.popleft()
            waiting.append(start())
        for future in waiting:
            await future


async def run(side: Side):
    # Once both ways, so that UCX is connected.
    await side.send()
    await side.receive()
    if kind == "ping":
        times, end = [], time.monotonic() + 4
        for index in range(count + 50):
            began = time.perf_counter_ns()
            await side.send()
            await side.receive()
            if index >= 50:
                times.append(time.perf_counter_ns() - began)
            if time.monotonic() > end and times:
                break
        return trips(times)
    await exchange(side, warmup)
    began = time.perf_counter()
    await exchange(side, count)
    throughput(count if kind == "stream" else 2 * count, time.perf_counter() - began)


async def exchange(side: Side, total: int):
    if kind == "stream":
        await side.many(side.send, total)
    else:
        await asyncio.gather(side.many(side.send, total), side.many(side.receive, total))
    await side.flush()


async def serve(side: Side):
    await side.receive()
    await side.send()
    if kind == "ping":
        while True:
            await side.receive()
            await side.send()
    for total in (warmup, count):
        if kind == "stream":
            await side.many(side.receive, total)
        else:
            await exchange(side, total)
    await asyncio.sleep(60)


async def starway_side():
    import numpy
    import starway

    def buffer():
        return numpy.full(size, 0x5A, dtype=numpy.uint8)

    if role == "serve":
        server, loop, accepted = starway.Server(), asyncio.get_running_loop(), asyncio.Queue()
        server.set_accept_cb(lambda endpoint: loop.call_soon_threadsafe(accepted.put_nowait, endpoint))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server.listen("127.0.0.1", port)
        print(f"PORT {port}", flush=True)
        endpoint = await accepted.get()
        if kind == "idle":
            return await asyncio.sleep(60)
        await serve(
            Side(
                lambda data, tag: server.asend(endpoint, data, tag), lambda data, tag: server.arecv(data, tag, MASK),
                lambda: server.aflush_ep(endpoint), TO_CLIENT, TO_SERVER, buffer,
            )
        )  # fmt: skip
    else:
        client = starway.Client()
        await client.aconnect("127.0.0.1", int(values["port"]))
        if kind == "idle":
            told(connected=True)
            return await asyncio.sleep(60)
        await run(Side(client.asend, lambda data, tag: client.arecv(data, tag, MASK), client.aflush, TO_SERVER, TO_CLIENT, buffer))
    os._exit(0)


class Batches(Side):
    """Whole windows, one future each."""

    def many_of(self, port):
        self.port = port
        return self

    async def many(self, start, total: int):
        outs, backs = [self.out] * window, [self.back] * window
        while total > 0:
            part = min(window, total)
            if start == self.send:
                await self.port.send_many(outs[:part], self.tag_out)
            else:
                await self.port.recv_many(backs[:part], self.tag_in)
            total -= part


async def causeway_side():
    import causeway
    import numpy  # the same memory as Starway's

    def buffer():
        return numpy.full(size, 0x5A, dtype=numpy.uint8)

    engine = causeway.Engine(progress=values.get("mode", "adaptive"))
    make = Batches if manner == "batches" else Side
    if role == "serve":
        server = causeway.Server(engine=engine)
        server.listen("127.0.0.1", 0)
        print(f"PORT {server.port}", flush=True)
        port = await server.accept()
        side = make(port.send, port.recv, port.flush, TO_CLIENT, TO_SERVER, buffer)
        work = serve
    else:
        port = causeway.Client(engine=engine)
        await port.connect("127.0.0.1", int(values["port"]))
        side = make(port.send, port.recv, port.flush, TO_SERVER, TO_CLIENT, buffer)
        work = run
    if manner == "batches":
        side.many_of(port)
    try:
        await work(side)
    except causeway.PeerLostError:  # the other side has its figures
        if role == "run":
            raise
    os._exit(0)


def causeway_blocking():
    import causeway

    engine = causeway.Engine(progress=values.get("mode", "adaptive"))
    out, back = bytearray(b"\x5a") * size, bytearray(size)
    if role == "serve":
        server = causeway.Server(engine=engine)
        server.listen("127.0.0.1", 0)
        print(f"PORT {server.port}", flush=True)
        port = server.accept_sync()
        try:
            port.recv_sync(back, TO_SERVER)
            port.send_sync(back, TO_CLIENT)
            if kind == "ping":
                while True:
                    port.recv_sync(back, TO_SERVER)
                    port.send_sync(back, TO_CLIENT)
            backs = [back] * window
            for left in (warmup, count):
                while left > 0:
                    if manner == "sync":
                        port.recv_sync(back, TO_SERVER)
                        left -= 1
                    else:
                        port.recv_many_sync(backs[: min(window, left)], TO_SERVER)
                        left -= window
            time.sleep(60)
        except causeway.Error:
            pass
        os._exit(0)
    port = causeway.Client(engine=engine)
    port.connect_sync("127.0.0.1", int(values["port"]))
    port.send_sync(out, TO_SERVER)
    port.recv_sync(back, TO_CLIENT)
    if kind == "ping":
        times, end = [], time.monotonic() + 4
        for index in range(count + 50):
            began = time.perf_counter_ns()
            port.send_sync(out, TO_SERVER)
            port.recv_sync(back, TO_CLIENT)
            if index >= 50:
                times.append(time.perf_counter_ns() - began)
            if time.monotonic() > end and times:
                break
        trips(times)
    else:
        outs = [out] * window
        for left in (warmup, count):
            began = time.perf_counter()
            while left > 0:
                if manner == "sync":
                    port.send_sync(out, TO_SERVER)
                    left -= 1
                else:
                    port.send_many_sync(outs[: min(window, left)], TO_SERVER)
                    left -= window
            port.flush_sync()
        throughput(count, time.perf_counter() - began)
    os._exit(0)


def main():
    if library == "starway":
        asyncio.run(starway_side())
    elif manner.startswith("sync"):
        causeway_blocking()
    else:
        asyncio.run(causeway_side())


main()
