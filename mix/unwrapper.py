"""
The child process that unwraps: ``python -m mix.unwrapper``, with a socket as its standard input.

It first gets its node's role and keys, then batches; it answers each with its result. `mix.worker` is the
parent's side.

    keys   expected command type 1 || longest delay 4 || key id 16 || secret 32 || key id 16 || ...

Keys come over the socket, since arguments and environments can be read by others. It imports nothing that it
doesn't need.
"""

import os
import socket

from mix.packet.batch import DELAY_BYTES, Expected, unwrap_batch
from mix.packet.command import CommandType
from mix.packet.geometry import KEY_ID_BYTES, KeyId
from mixmint.child import receive, run, send

SECRET_BYTES = 32
_ENTRY_BYTES = KEY_ID_BYTES + SECRET_BYTES
_HEAD_BYTES = 1 + DELAY_BYTES


def serve(connection: socket.socket) -> None:
    """Get the keys, then answer batches. EOFError or ConnectionError: the other side closed."""
    secrets, expected = decode_keys(receive(connection))
    while True:
        send(connection, unwrap_batch(secrets, expected, receive(connection), os.urandom))


def encode_keys(secrets: dict[KeyId, bytes], expected: Expected) -> bytes:
    head = bytes([expected.command]) + expected.most_delay_ms.to_bytes(DELAY_BYTES)
    return head + b"".join(key_id + secret for key_id, secret in secrets.items())


def decode_keys(data: bytes) -> tuple[dict[KeyId, bytes], Expected]:
    entries = (data[at : at + _ENTRY_BYTES] for at in range(_HEAD_BYTES, len(data), _ENTRY_BYTES))
    expected = Expected(CommandType(data[0]), int.from_bytes(data[1:_HEAD_BYTES]))
    return {KeyId(entry[:KEY_ID_BYTES]): entry[KEY_ID_BYTES:] for entry in entries}, expected


if __name__ == "__main__":
    run(serve)
