#!/usr/bin/env python3
"""A stand-in for the program, so that harness and demo can be tested without it (CAUSEWAY_BIN=Tests/EndToEnd/standin.py).

It speaks the command line and the ready lines, and cheats on everything else: the relay connects to the local service
itself, so no byte crosses a tunnel. It promises nothing that sections about faults, accounts or HTTP ask for.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import re
import secrets
import signal
import sys


def options_of(words):
    options, rest = {}, []
    words = iter(words)
    for word in words:
        if word in ("--json", "-q"):
            options[word] = True
        elif word.startswith("--"):
            options[word] = next(words)
        else:
            rest.append(word)
    return options, rest


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


class Relay:
    def __init__(self, data: pathlib.Path):
        self.data, self.tunnels = data, {}
        data.mkdir(mode=0o700, parents=True, exist_ok=True)

    def names(self) -> dict:
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.data / "names.json").read_text())
        return {}

    async def visitor(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            writer.close()
            return
        if head.startswith(b"STANDIN "):
            return await self.client(json.loads(head[8:]), reader, writer)
        host = re.search(rb"(?i)\r\nhost: *([^.:\r]+)", head)
        target = self.tunnels.get(host[1].decode() if host else "")
        try:
            if target is None:
                raise OSError
            far = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        far[1].write(head)
        await self.both(reader, writer, *far)

    async def both(self, reader, writer, far_reader, far_writer):
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        far_writer.close()
        writer.close()

    async def client(self, wanted, reader, writer):
        names, key = self.names(), wanted["token"] + wanted["kind"] + str(wanted["local"])
        name = wanted["name"] or names.get(key) or secrets.token_hex(4)
        server = None
        if wanted["kind"] == "tcp":
            port = names.get(key + "port", 0)

            async def forward(r, w):
                await self.both(r, w, *await asyncio.open_connection("127.0.0.1", wanted["local"]))

            server = await asyncio.start_server(forward, "127.0.0.1", port)
            names[key + "port"] = server.sockets[0].getsockname()[1]
            url = f"tcp://localhost:{names[key + 'port']}"
        else:
            self.tunnels[name] = wanted["local"]
            url = f"http://{name}.localhost:{self.port}"
        names[key] = name
        (self.data / "names.json").write_text(json.dumps(names))
        writer.write(json.dumps({"url": url}).encode() + b"\n")
        with contextlib.suppress(OSError):
            await reader.read()
        self.tunnels.pop(name, None)
        if server:
            server.close()
        writer.close()

    async def run(self, listen: str):
        host, _, port = listen.rpartition(":")
        server = await asyncio.start_server(self.visitor, host, int(port))
        self.port = server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{self.port}"


async def client(kind, local, options):
    host, _, port = options["--server"].removeprefix("http://").rpartition(":")
    wanted = {"token": os.environ["CAUSEWAY_TOKEN"], "kind": kind, "local": local, "name": options.get("--subdomain")}
    ready = False
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"STANDIN " + json.dumps(wanted).encode() + b"\r\n\r\n")
            url = json.loads(await reader.readline())["url"]
            event = "resumed" if ready else "ready"
            if "--json" in options:
                print(json.dumps({"event": event, "url": url}), flush=True)
            elif not ready:
                print(url, flush=True)
            ready = True
            await reader.read()
        except (OSError, ValueError):
            pass
        if "--json" in options:
            print(json.dumps({"event": "reconnecting"}), flush=True)
        await asyncio.sleep(0.3)


async def main(words):
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: os._exit(0))
    if words[:3] == ["relay", "account", "add"]:
        print(secrets.token_hex(16))
    elif words[:1] == ["relay"]:
        options, _ = options_of(words[1:])
        relay = Relay(pathlib.Path(options["--data"]))
        url = await relay.run(options.get("--listen", "127.0.0.1:8080"))
        print(json.dumps({"event": "ready", "url": url}) if "--json" in options else url, flush=True)
        await asyncio.Event().wait()
    elif words[:1] in (["http"], ["tcp"]):
        options, rest = options_of(words[1:])
        await client(words[0], int(rest[0]), options)
    elif words == ["version"]:
        print("causeway stand-in")
    else:
        sys.exit(2)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
