"""
The child process that unwraps: ``python -m mix.unwrapper``, with a socket as its standard input.

It first gets its node's role and keys, then batches; it answers each with its result. `mix.worker` is the
parent's side. Every message either way has its length, 4 bytes, in front.

    keys   expected command type 1 || key id 16 || secret 32 || key id 16 || ...

Keys come over the socket, since arguments and environments can be read by others. It ends when the socket
does: so it doesn't outlive its parent, however that ends. It imports nothing that it doesn't need.
"""

import os
import signal
import socket

from mix.packet.batch import unwrap_batch
from mix.packet.command import CommandType
from mix.packet.geometry import KEY_ID_BYTES, KeyId

SECRET_BYTES = 32
LENGTH_BYTES = 4
_ENTRY_BYTES = KEY_ID_BYTES + SECRET_BYTES


def main() -> None:
    # Both are the parent's to act upon: it may still need us for the frames in hand.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=os.dup(0)) as connection:
        try:
            serve(connection)
        except (EOFError, ConnectionError):
            return  # the parent is gone, or has no more work


def serve(connection: socket.socket) -> None:
    """Answer batches until the other side closes: EOFError or ConnectionError."""
    secrets, expected = decode_keys(_receive(connection))
    while True:
        result = unwrap_batch(secrets, expected, _receive(connection), os.urandom)
        connection.sendall(len(result).to_bytes(LENGTH_BYTES, "big") + result)


def encode_keys(secrets: dict[KeyId, bytes], expected: CommandType) -> bytes:
    return bytes([expected]) + b"".join(key_id + secret for key_id, secret in secrets.items())


def decode_keys(data: bytes) -> tuple[dict[KeyId, bytes], CommandType]:
    entries = (data[at : at + _ENTRY_BYTES] for at in range(1, len(data), _ENTRY_BYTES))
    return {KeyId(entry[:KEY_ID_BYTES]): entry[KEY_ID_BYTES:] for entry in entries}, CommandType(data[0])


def _receive(connection: socket.socket) -> bytes:
    return bytes(_exactly(connection, int.from_bytes(_exactly(connection, LENGTH_BYTES), "big")))


def _exactly(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        received = connection.recv_into(view)
        if received == 0:
            raise EOFError
        view = view[received:]
    return data


if __name__ == "__main__":
    main()
