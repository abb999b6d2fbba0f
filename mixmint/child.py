"""
A child process's side of a conversation with its parent, over a socket that is its standard input.

The parent asks, the child answers, one after the other; every message either way has its length, 4 bytes, in
front. The child ends when the socket does: so it doesn't outlive its parent, however that ends.

`mixmint.parent` is the other side. This module imports nothing that a child may not need.
"""

import os
import signal
import socket
from collections.abc import Callable

LENGTH_BYTES = 4


def run(serve: Callable[[socket.socket], None]) -> None:
    """Serve the parent until it closes the socket or is gone."""
    # Both are the parent's to act upon: it may still need us for the work in hand.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=os.dup(0)) as connection:
        try:
            serve(connection)
        except (EOFError, ConnectionError):
            return


def receive(connection: socket.socket) -> bytes:
    """The next message. EOFError or ConnectionError: the parent is gone, or has no more work."""
    return bytes(_exactly(connection, int.from_bytes(_exactly(connection, LENGTH_BYTES))))


def send(connection: socket.socket, message: bytes) -> None:
    """Send a message."""
    connection.sendall(framed(message))


def framed(message: bytes) -> bytes:
    """A message as it goes over the socket."""
    return len(message).to_bytes(LENGTH_BYTES) + message


def _exactly(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        received = connection.recv_into(view)
        if received == 0:
            raise EOFError
        view = view[received:]
    return data
