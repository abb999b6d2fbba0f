"""
Which coin ids may stand on the board, in a memory that doesn't grow with it: a Bloom filter. Pure.

It never forgets an id that it was shown. It takes others for one of them with a small chance: at a million
entries of the board one in a thousand million, at a hundred million about a third. Such a false hit costs
another look at the log, and nothing else.

Ids are hashes already, so their own bits are as good as any hash's of them. Somebody who wants false hits
would have to get coins certified for it, and makes a reader read the board again.
"""

from collections.abc import Iterable, Iterator
from itertools import count
from struct import iter_unpack

_BITS = 27
SIEVE_BYTES = 1 << _BITS - 3
"""16 MiB."""
_PROBES = 5


class Sieve:
    """Knows ids by their first 8 bytes (two numbers of 4, from which the probed places are made)."""

    def __init__(self) -> None:
        self._bits = bytearray(SIEVE_BYTES)

    def add(self, coins: Iterable[bytes]) -> None:
        """Coin ids (32 bytes each)."""
        bits, mask = self._bits, (1 << _BITS) - 1
        for coin in coins:
            at, step = int.from_bytes(coin[:4]), int.from_bytes(coin[4:8]) | 1
            for _ in range(_PROBES):
                place = at & mask
                bits[place >> 3] |= 1 << (place & 7)
                at += step

    def hits(self, prefixes: bytes) -> Iterator[int]:
        """Which of some prefixes (8 bytes each, joined) may be of ids that were added: their numbers."""
        bits, mask = self._bits, (1 << _BITS) - 1
        for number, (at, step) in zip(count(), iter_unpack(">II", prefixes), strict=False):
            place = at & mask
            # Nearly all end here, so this is all that counts for speed.
            if bits[place >> 3] >> (place & 7) & 1 and self._others(at, step | 1):
                yield number

    def _others(self, at: int, step: int) -> bool:
        mask = (1 << _BITS) - 1
        places = ((at + step * probe) & mask for probe in range(1, _PROBES))
        return all(self._bits[place >> 3] >> (place & 7) & 1 for place in places)
