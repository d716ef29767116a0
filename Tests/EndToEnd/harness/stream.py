#!/usr/bin/env python3
"""A TCP download whose receiver keeps the time: what arrived when, on this machine's CLOCK_MONOTONIC, to relate it to faults.

  stream.py serve 4|6 PORT                sends zeros to everyone who connects, on every address (MPTCP joins need that)
  stream.py receive ADDRESS PORT SECONDS  prints one JSON object: `at` and `bytes`, lists (a sample each 10 ms), and `error`
"""

import json
import select
import socket
import sys
import threading
import time

SAMPLE = 0.01


def send(connection):
    zeros = bytes(65536)
    try:
        while True:
            connection.sendall(zeros)
    except OSError:
        connection.close()


def serve(family: str, port: int):
    with socket.create_server(("", port), family=socket.AF_INET6 if family == "6" else socket.AF_INET) as listener:
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=send, args=(connection,), daemon=True).start()


def receive(address: str, port: int, seconds: float) -> dict:
    at, counts, error = [], [], None
    total = 0
    buffer = bytearray(1 << 18)
    with socket.create_connection((address, port), 5) as connection:
        connection.setblocking(False)
        end = time.monotonic() + seconds
        due = time.monotonic()
        print("running", file=sys.stderr, flush=True)
        while (now := time.monotonic()) < end:
            if now >= due:
                at.append(now)
                counts.append(total)
                due = now + SAMPLE
            if not select.select([connection], [], [], max(0, due - now))[0]:
                continue
            try:
                count = connection.recv_into(buffer)
            except BlockingIOError:
                continue
            except OSError as problem:
                error = str(problem)
                break
            if count == 0:
                error = "the end came early"
                break
            total += count
    return {"at": at, "bytes": counts, "error": error}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        json.dump(receive(sys.argv[2], int(sys.argv[3]), float(sys.argv[4])), sys.stdout)
        print()
