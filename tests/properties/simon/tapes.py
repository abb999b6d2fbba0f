"""
Random tapes (definition 1): every random byte that a party uses comes from the tape it is given.

A tape belongs to a *part* in a transaction ("the payer of the 7th"), not to a party. So when a run is
repeated with other parties in the same parts, the tapes go along, as definition 7 asks: whatever differs then
is not chance.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from random import Random
from unittest import mock

import mixmint.sealing
import wallet.purse
from bank.formats.coin import Secret
from wallet.derivation import Purpose
from wallet.marks.mark import Mark

_part: "ContextVar[Part | None]" = ContextVar("part", default=None)
_urandom = os.urandom


class Tape:
    """An endless string of bytes, read once."""

    def __init__(self, seed: int, part: str) -> None:
        self._key = sha256(f"{seed}/{part}".encode()).digest()
        self._read = 0

    def read(self, size: int) -> bytes:
        blocks = []
        for _ in range(-(-size // 32)):
            blocks.append(sha256(self._key + self._read.to_bytes(8)).digest())
            self._read += 1
        return b"".join(blocks)[:size]


class Part:
    """A part's two tapes: one for its coins' secrets, one for all else."""

    def __init__(self, coins: Tape, rest: Tape) -> None:
        self.coins = coins
        self.rest = rest


class Tapes:
    """
    All tapes of a run. ``renamed``: parts that get another part's tape, for their coins' secrets only
    (``coins``) or for everything.
    """

    def __init__(
        self, seed: int, renamed: Mapping[str, str] | None = None, coins: Mapping[str, str] | None = None
    ) -> None:
        self._seed = seed
        self._renamed = renamed or {}
        self._coins = coins or {}
        self._parts: dict[str, Part] = {}

    def of(self, name: str) -> Part:
        if name not in self._parts:
            rest = self._renamed.get(name, name)
            coins = self._coins.get(rest, rest)
            self._parts[name] = Part(Tape(self._seed, f"{coins}/coins"), Tape(self._seed, rest))
        return self._parts[name]

    @contextmanager
    def use(self, name: str) -> Iterator[None]:
        """Inside, and in every task begun inside, randomness comes from this part's tapes."""
        token = _part.set(self.of(name))
        try:
            yield
        finally:
            _part.reset(token)


class TapeRandom(Random):
    """``random.Random`` over the tape in use: what the wallet draws its delays from."""

    def random(self) -> float:
        return (int.from_bytes(_draw(7)) >> 3) / (1 << 53)

    def getrandbits(self, k: int, /) -> int:
        return int.from_bytes(_draw(-(-k // 8))) >> -k % 8

    def seed(self, *_: object, **__: object) -> None:
        """It has no state of its own."""


def _draw(size: int) -> bytes:
    part = _part.get()
    return _urandom(size) if part is None else part.rest.read(size)


@contextmanager
def drawn_from_tapes() -> Iterator[None]:
    """
    ``os.urandom`` reads the tape in use, where one is. Not the nonces under which a purse is sealed: nobody
    but the party sees them, and how many it needs is its own business.
    """
    with (
        mock.patch.object(os, "urandom", _draw),
        mock.patch.object(mixmint.sealing, "random_bytes", _urandom),
    ):
        yield


@contextmanager
def secrets_from_tapes() -> Iterator[None]:
    """
    Coins' secrets too, instead of the wallets' PRF under their seeds; and the commitments in orders' notes,
    instead of salted hashes of what they bind.

    Which of the two it is, nobody outside can tell: that is what a PRF is, and a commitment that hides. But a
    seed belongs to a party, and a tape to a part; with this, two runs can be compared byte by byte, and no
    name needs renaming afterwards.
    """

    def drawn(seed: bytes, bank: bytes, device: int, purpose: Purpose, counter: int) -> Secret:
        part = _part.get()
        return Secret(_urandom(32) if part is None else part.coins.read(32))

    commitments: dict[bytes, bytes] = {}

    def committed(mark: Mark) -> bytes:
        encoded = mark.encode()
        if encoded not in commitments:
            commitments[encoded] = _draw(32)
        return commitments[encoded]

    with mock.patch.object(wallet.purse, "derive", drawn), mock.patch.object(Mark, "commitment", committed):
        yield
