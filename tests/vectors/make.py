"""
Make the packet test vectors: ``python -m tests.vectors.make`` writes ``tests/vectors/packet.json``.

Headers, bodies and every hop's output are computed by sphinxmix's own functions (`create_header`,
`sphinx_process`, `package_surb`, `receive_surb`, its LIONESS through petlib), over our X25519 group. All
randomness comes from SHA-256 of a counter, so that the file is the same, bit for bit, whoever makes it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

from nacl.bindings import crypto_scalarmult_base
from sphinxmix import SphinxClient
from sphinxmix.SphinxClient import create_header, package_surb, pad_body, receive_surb
from sphinxmix.SphinxNode import sphinx_process
from sphinxmix.SphinxParams import SphinxParams

from mix.packet.group import X25519Group

FILE = Path(__file__).with_name("packet.json")
SEED = "mixmint packet test vectors"
EXPIRES_S = 1_800_000_000
ALPHA, HEADER = 32, 222


def stream(name: str) -> Callable[[int], bytes]:
    """A function like `os.urandom`, but always the same: SHA-256(seed / name / counter) after another."""
    count = 0

    def take(size: int) -> bytes:
        nonlocal count
        data = b""
        while len(data) < size:
            data += sha256(f"{SEED}/{name}/{count}".encode()).digest()
            count += 1
        return data[:size]

    return take


class SeededGroup(X25519Group):
    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random

    def gensecret(self) -> bytes:
        return self._random(32)


def make() -> dict[str, object]:
    """The vectors: one path, two forward messages, two answers, and a cover packet's shorter path."""
    random = stream("path")
    secrets = [random(32) for _ in range(5)]
    publics = [crypto_scalarmult_base(secret) for secret in secrets]
    key_ids = [sha256(b"mixmint/key-id/v1" + public).digest()[:16] for public in publics]
    token = random(16)
    relays = [b"\x01" + key_id + bytes(4) for key_id in key_ids[1:4]]
    path = Way(secrets, publics, [b"", *relays, b"\x02" + token + bytes(4)], key_ids[0])
    long = bytes(number % 256 for number in range(2031))
    return {
        "about": "made by tests/vectors/make.py; explained in docs/spec/packet.md and reply-block.md; hex",
        "secrets": [secret.hex() for secret in secrets],
        "publics": [public.hex() for public in publics],
        "key_ids": [key_id.hex() for key_id in key_ids],
        "token": token.hex(),
        "forward": [
            forward(path, "forward/short", b"a message"),
            forward(path, "forward/longest", long),
        ],
        "reply": [
            reply(path, "reply/short", b"an answer"),
            reply(path, "reply/longest", long),
        ],
        "cover": [forward(path.after(hops), f"cover/{hops}", b"") for hops in (1, 2, 3)],
    }


@dataclass
class Way:
    """A path as sphinxmix wants it."""

    secrets: list[bytes]
    publics: list[bytes]
    nodelist: list[bytes]
    first_key_id: bytes

    def after(self, hops: int) -> "Way":
        """The rest of the path, as the mix at this place begins it with a cover packet."""
        first = self.nodelist[hops][1:17]
        return Way(self.secrets[hops:], self.publics[hops:], [b"", *self.nodelist[hops + 1 :]], first)


def forward(path: Way, name: str, message: bytes) -> dict[str, object]:
    params = parameters(name)
    header, keys = seeded_header(params, path, name, b"\x03" + bytes(20))
    body_keys = [params.hpi(key) for key in keys]
    padded = pad_body(params.m - params.k, message)
    body = params.mu(body_keys[-1], padded) + padded
    body = reduce(lambda inner, key: params.pi(key, inner), reversed(body_keys), body)
    hops = walk(params, path, header, body)
    return {
        "message": message.hex(),
        "packet": (path.first_key_id + b"".join(header) + body).hex(),
        "hops": hops,
    }


def reply(path: Way, name: str, message: bytes) -> dict[str, object]:
    params = parameters(name)
    random = stream(f"{name}/block")
    block_id, key = random(16), random(16)
    header, keys = seeded_header(params, path, name, b"\x04" + block_id + bytes(4))
    block = path.first_key_id + b"".join(header) + key + EXPIRES_S.to_bytes(4, "big")
    _, body = package_surb(params, (b"", header, key), message)
    hops = walk(params, path, header, body)
    kept = [key, *map(params.hpi, keys)]
    arrived = bytes.fromhex(hops[-1]["packet"])[HEADER:]
    if receive_surb(params, list(kept), arrived) != message:
        raise RuntimeError("sphinxmix doesn't open what it made")
    return {
        "message": message.hex(),
        "block": block.hex(),
        "block_id": block_id.hex(),
        "keys": [each.hex() for each in kept],
        "packet": (path.first_key_id + b"".join(header) + body).hex(),
        "hops": hops,
    }


def parameters(name: str) -> SphinxParams:
    return SphinxParams(group=SeededGroup(stream(f"{name}/secret")), header_len=206, body_len=2048, k=16)


def seeded_header(
    params: SphinxParams, path: Way, name: str, last: bytes
) -> tuple[tuple[bytes, bytes, bytes], list[bytes]]:
    with patch.object(SphinxClient, "urandom", stream(f"{name}/padding")):
        header, keys = create_header(params, path.nodelist, path.publics, last)
    return header, keys


def walk(
    params: SphinxParams, path: Way, header: tuple[bytes, bytes, bytes], body: bytes
) -> list[dict[str, str]]:
    """What every hop gets out of the packet."""
    hops = []
    for secret in path.secrets:
        tag, command, (header, body), body_key = sphinx_process(params, secret, header, body)
        hops.append(
            {
                "tag": tag.hex(),
                "command": command.hex(),
                "body_key": body_key.hex(),
                "packet": (b"".join(header) + body).hex(),
            }
        )
    return hops


def as_text() -> str:
    return json.dumps(make(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text())
