"""The process that asks, on each connection again as soon as it is answered. Prints microseconds an order."""

import asyncio
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import cast

import uvloop

from bank.formats.answer import Kind


class _Connection(asyncio.Protocol):
    """A connection that asks again as soon as it is answered; lean, since it is the bank that is measured."""

    def __init__(self, bodies: list[bytes], done: asyncio.Future[None]) -> None:
        self._bodies = bodies
        self._done = done
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        if not self._bodies:
            self._transport.close()
            self._done.set_result(None)
            return
        body = self._bodies.pop()
        head = (
            "POST /api/v1/order HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(body) == length:
            assert head.startswith(b"HTTP/1.1 200"), head
            assert body[0] == Kind.CERTIFICATES
            self._received = b""
            self._ask()


def _read(path: Path) -> list[bytes]:
    return [bytes.fromhex(each) for each in json.loads(path.read_text())]


async def _client(port: int, bodies: list[bytes], connections: int) -> float:
    loop = asyncio.get_running_loop()
    count = len(bodies)
    start_s = time.perf_counter()
    ends = []
    for _ in range(connections):
        done = loop.create_future()
        await loop.create_connection(partial(_Connection, bodies, done), "127.0.0.1", port)
        ends.append(done)
    await asyncio.gather(*ends)
    return (time.perf_counter() - start_s) / count * 1e6


if __name__ == "__main__":
    print(uvloop.run(_client(int(sys.argv[1]), _read(Path(sys.argv[2])), int(sys.argv[3]))))
